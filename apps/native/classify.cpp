// mpox.h: from a photo to an answer.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <new>

#include "colour.h"
#include "failed.h"
#include "jpeg.h"
#include "model.h"

namespace {

// As mpox.xai.pictures draws maps: none of the colours is one of skin, and brightness rises with the value.
constexpr double kColours[5][3] = {{68, 1, 84}, {59, 82, 139}, {33, 145, 140}, {94, 201, 98}, {253, 231, 37}};
constexpr double kStrength = 0.75;

struct Answer : mpox_answer {
  std::vector<float> own_probabilities, own_map;
  std::vector<unsigned char> own_set, own_picture, own_overlay;
  std::string own_why;
};

// Scales a map to the picture's size with bilinear interpolation: values below zero become zero, the largest one.
std::vector<double> scaled(const std::vector<float>& map, int height, int width, int size) {
  std::vector<double> out(static_cast<size_t>(size) * size);
  const auto across = mpox::taps(width, size, mpox::Filter::kBilinear),
             down = mpox::taps(height, size, mpox::Filter::kBilinear);
  double largest = 0;
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      double sum = 0;
      for (size_t i = 0; i < down[y].weights.size(); ++i)
        for (size_t j = 0; j < across[x].weights.size(); ++j)
          sum += down[y].weights[i] * across[x].weights[j] * map[(down[y].first + i) * width + across[x].first + j];
      out[static_cast<size_t>(y) * size + x] = std::max(0.0, sum);
      largest = std::max(largest, sum);
    }
  }
  for (double& value : out) value = largest > 0 ? value / largest : 0;
  return out;
}

std::vector<unsigned char> overlay(const std::vector<unsigned char>& picture, const std::vector<double>& map) {
  std::vector<unsigned char> out(picture.size());
  for (size_t k = 0; k < map.size(); ++k) {
    const double at = 4 * map[k], weight = kStrength * map[k];
    const int below = std::min(3, static_cast<int>(at));
    for (size_t c = 0; c < 3; ++c) {
      const double colour = kColours[below][c] + (at - below) * (kColours[below + 1][c] - kColours[below][c]);
      out[3 * k + c] = static_cast<unsigned char>(std::nearbyint((1 - weight) * picture[3 * k + c] + weight * colour));
    }
  }
  return out;
}

mpox_answer* answer(mpox_model& model, std::vector<unsigned char> picture, bool explain) {
  auto outputs = model.run(picture, explain);
  auto decision = model.decide(outputs.probabilities);
  auto made = std::make_unique<Answer>();
  made->own_probabilities = std::move(outputs.probabilities);
  made->own_set = std::move(decision.in_set);
  made->own_why = std::move(decision.why);
  made->own_picture = std::move(picture);
  made->classes = static_cast<int>(model.labels.size());
  made->labels = model.label_pointers.data();
  made->probabilities = made->own_probabilities.data();
  made->in_set = made->own_set.data();
  made->label = decision.label;
  made->refer = !made->own_why.empty();
  made->why = made->own_why.c_str();
  made->size = model.size;
  made->picture = made->own_picture.data();
  made->map_height = outputs.map_height;
  made->map_width = outputs.map_width;
  if (explain) {
    const auto first =
        outputs.maps.begin() + static_cast<ptrdiff_t>(decision.label) * made->map_height * made->map_width;
    made->own_map.assign(first, first + static_cast<ptrdiff_t>(made->map_height) * made->map_width);
    made->own_overlay =
        overlay(made->own_picture, scaled(made->own_map, made->map_height, made->map_width, model.size));
    made->map = made->own_map.data();
    made->overlay = made->own_overlay.data();
  }
  return made.release();
}

std::vector<unsigned char> working_picture(const std::string& path, const mpox_model& model) {
  mpox::Jpeg photo(path);
  const mpox::ToSrgb to_srgb(photo.profile(), photo.is_grey());
  photo.start(to_srgb.of_grey());
  mpox::Square square(photo.width(), photo.height(), photo.orientation(), model.size, model.steps, model.filter);
  const size_t bytes = to_srgb.of_grey() ? 1 : 3;
  std::vector<uint8_t> row(bytes * photo.width()), rgb(3 * static_cast<size_t>(square.side()));
  for (int y = 0; y < photo.height(); ++y) {
    photo.read_row(row.data());
    if (!square.wants(y)) continue;
    const uint8_t* from = row.data() + bytes * square.left();
    square.take(y, to_srgb.convert(from, rgb.data(), square.side()) ? rgb.data() : from);
  }
  return square.picture();
}

// Runs what may throw: nothing but NULL and a line of text crosses the C interface.
template <typename Work>
auto guarded(char* error, const char* of, Work work) -> decltype(work()) {
  std::string what;
  try {
    return work();
  } catch (const std::bad_alloc&) {
    what = "not enough memory: give a smaller photo";
  } catch (const std::exception& failed) {
    what = failed.what();
  }
  std::snprintf(error, MPOX_ERROR, "%s%s%s", of, *of ? ": " : "", what.c_str());
  return nullptr;
}

}  // namespace

mpox_model* mpox_open(const char* path, char* error) {
  return guarded(error, path, [&] { return new mpox_model(path); });
}

mpox_answer* mpox_classify_jpeg(mpox_model* model, const char* path, int explain, char* error) {
  return guarded(error, path, [&] { return answer(*model, working_picture(path, *model), explain != 0); });
}

mpox_answer* mpox_classify_pixels(mpox_model* model, const unsigned char* pixels, int width, int height, int channels,
                                  size_t row_bytes, int explain, char* error) {
  return guarded(error, "", [&] {
    if (width < 1 || height < 1 || static_cast<long long>(width) * height > mpox::kMostPixels ||
        (channels != 3 && channels != 4) || row_bytes < static_cast<size_t>(width) * channels)
      throw mpox::Failed(
          "these are no pixels of a photo: give width and height, 3 or 4 channels, and the bytes of a row");
    mpox::Square square(width, height, 1, model->size, model->steps, model->filter);
    std::vector<uint8_t> rgb(3 * static_cast<size_t>(square.side()));
    for (int y = 0; y < height; ++y) {
      if (!square.wants(y)) continue;
      const unsigned char* from = pixels + row_bytes * y + static_cast<size_t>(channels) * square.left();
      for (int x = 0; x < square.side(); ++x)
        std::copy_n(from + static_cast<size_t>(channels) * x, 3, rgb.begin() + 3 * static_cast<ptrdiff_t>(x));
      square.take(y, rgb.data());
    }
    return answer(*model, square.picture(), explain != 0);
  });
}

int mpox_classes(const mpox_model* model) { return static_cast<int>(model->labels.size()); }
const char* mpox_label(const mpox_model* model, int number) {
  return model->labels[static_cast<size_t>(number)].c_str();
}
int mpox_takes_bytes(const mpox_model* model) { return model->takes_bytes; }
void mpox_free(mpox_answer* answer) { delete static_cast<Answer*>(answer); }
void mpox_close(mpox_model* model) { delete model; }
