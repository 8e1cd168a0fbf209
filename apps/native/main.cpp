// mpox <model.pte> <photo>... [--app <folder>] [--maps <folder>]
//
// Prints one line a photo: path, answer, `answer` or `refer`, why, and the probabilities, with tabs between them.
// --app: writes what python -m mpox.mobile.check <export> --app <folder> tests (tensors and probabilities.json).
// --maps: writes <photo>-map.jpg, the working picture with the answer's map in colour.
// Photos are JPEG, or PPM (P6, 8 bits) for pixels that were decoded elsewhere. Exit code 2 where one has no answer.
#include <executorch/runtime/platform/platform.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "failed.h"
#include "jpeg.h"
#include "mpox.h"

namespace {

constexpr char kUsage[] = "usage: mpox <model.pte> <photo>... [--app <folder>] [--maps <folder>]";

std::string stem(const std::string& path) {
  const std::string name = path.substr(path.find_last_of('/') + 1);
  return name.substr(0, name.find_last_of('.'));
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char letter : text) {
    char code[8];
    std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned char>(letter));
    const bool plain = static_cast<unsigned char>(letter) >= 0x20 && letter != '"' && letter != '\\';
    out += plain ? std::string(1, letter) : code;
  }
  return out + '"';
}

void write(const std::string& path, const void* bytes, size_t count) {
  std::ofstream file(path, std::ios::binary);
  if (!file.write(static_cast<const char*>(bytes), static_cast<std::streamsize>(count)).flush())
    throw mpox::Failed(path + ": cannot be written: does its folder exist, has it space?");
}

// The tensor as the model was given it.
void write_tensor(const mpox_answer& answer, bool bytes, const std::string& path) {
  const size_t pixels = static_cast<size_t>(answer.size) * answer.size;
  if (bytes) return write(path + ".u8", answer.picture, 3 * pixels);
  std::vector<float> planes(3 * pixels);
  for (size_t k = 0; k < 3 * pixels; ++k) planes[k % 3 * pixels + k / 3] = answer.picture[k];
  write(path + ".f32", planes.data(), planes.size() * sizeof(float));
}

mpox_answer* classify(mpox_model* model, const std::string& path, bool explain, char* error) {
  if (path.size() < 4 || path.compare(path.size() - 4, 4, ".ppm") != 0)
    return mpox_classify_jpeg(model, path.c_str(), explain, error);
  std::ifstream file(path, std::ios::binary);
  std::string kind(2, ' ');
  int width = 0, height = 0, most = 0;
  file >> kind >> width >> height >> most;
  file.get();
  std::vector<unsigned char> pixels;
  if (file && kind == "P6" && width > 0 && height > 0 && most == 255 &&
      static_cast<long long>(width) * height <= mpox::kMostPixels)
    pixels.resize(3 * static_cast<size_t>(width) * height);
  if (pixels.empty() ||
      !file.read(reinterpret_cast<char*>(pixels.data()), static_cast<std::streamsize>(pixels.size()))) {
    std::snprintf(error, MPOX_ERROR, "%s: not a whole PPM of 8-bit pixels: write it again", path.c_str());
    return nullptr;
  }
  const size_t row_bytes = 3 * static_cast<size_t>(width);
  return mpox_classify_pixels(model, pixels.data(), width, height, 3, row_bytes, explain, error);
}

struct Options {
  std::string model, app, maps;
  std::vector<std::string> photos;
};

Options options_of(int count, char** given) {
  Options options;
  for (int k = 1; k < count; ++k) {
    const std::string word = given[k];
    if (word == "--app" || word == "--maps") {
      if (++k == count) throw mpox::Failed(kUsage);
      (word == "--app" ? options.app : options.maps) = given[k];
    } else if (options.model.empty()) {
      options.model = word;
    } else {
      options.photos.push_back(word);
    }
  }
  if (options.photos.empty()) throw mpox::Failed(kUsage);
  return options;
}

// Returns whether every photo has an answer.
bool run(const Options& options) {
  char error[MPOX_ERROR];
  const std::unique_ptr<mpox_model, void (*)(mpox_model*)> model(mpox_open(options.model.c_str(), error), mpox_close);
  if (!model) throw mpox::Failed(error);
  std::string all;
  bool complete = true;
  for (const std::string& path : options.photos) {
    const std::unique_ptr<mpox_answer, void (*)(mpox_answer*)> answer(
        classify(model.get(), path, !options.maps.empty(), error), mpox_free);
    if (!answer) {
      std::fprintf(stderr, "error: %s\n", error);
      complete = false;
      continue;
    }
    std::string numbers;
    for (int k = 0; k < answer->classes; ++k) {
      char text[32];
      std::snprintf(text, sizeof text, "%s%.9g", k ? ", " : "", answer->probabilities[k]);
      numbers += text;
    }
    all += (all.empty() ? "{" : ",\n ") + quoted(stem(path)) + ": [" + numbers + "]";
    std::printf("%s\t%s\t%s\t%s\t%s\n", path.c_str(), answer->labels[answer->label], answer->refer ? "refer" : "answer",
                answer->why, numbers.c_str());
    if (!options.app.empty()) write_tensor(*answer, mpox_takes_bytes(model.get()), options.app + "/" + stem(path));
    if (!options.maps.empty())
      mpox::write_jpeg(options.maps + "/" + stem(path) + "-map.jpg", answer->overlay, answer->size);
  }
  all += all.empty() ? "{}\n" : "}\n";
  if (!options.app.empty()) write(options.app + "/probabilities.json", all.data(), all.size());
  return complete;
}

}  // namespace

int main(int count, char** given) {
  // An error is one line of this program; the runtime's own lines would stand beside it.
  const auto discard = [](et_timestamp_t, et_pal_log_level_t, const char*, const char*, size_t, const char*, size_t) {};
  executorch::runtime::register_pal(executorch::runtime::PalImpl::create(discard, __FILE__));
  try {
    return run(options_of(count, given)) ? 0 : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
}
