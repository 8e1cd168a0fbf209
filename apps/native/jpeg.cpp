#include "jpeg.h"

#include <jerror.h>
#include <jpeglib.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "exif.h"
#include "failed.h"

using namespace std::string_literals;

namespace mpox {
namespace {

// A photo of more than this is read at half its side by its decoder.
constexpr long long kWholePixels = 80'000'000;
// What a decoder may hold of a progressive photo, whose coefficients it keeps until the last scan.
constexpr long kMostDecoderBytes = 400'000'000;
// Cameras write ten scans or fewer; thousands of them in a small file cost hours.
constexpr int kMostScans = 200;

// libjpeg is C: it leaves by longjmp, so no function that calls it may have objects with destructors.
struct Errors : jpeg_error_mgr {
  jmp_buf jump;
  char text[JMSG_LENGTH_MAX];
};

[[noreturn]] void leave(j_common_ptr jpeg) {
  auto* errors = static_cast<Errors*>(jpeg->err);
  errors->format_message(jpeg, errors->text);
  longjmp(errors->jump, 1);
}

void on_warning(j_common_ptr jpeg, int level) {
  // Other oddities are decoded as well as they can be, as in training.
  if (level < 0 && jpeg->err->msg_code == JWRN_JPEG_EOF) leave(jpeg);
}

void on_progress(j_common_ptr jpeg) {
  if (!jpeg->is_decompressor || reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number <= kMostScans) return;
  auto* errors = static_cast<Errors*>(jpeg->err);
  errors->msg_code = JMSG_NOMESSAGE;
  std::snprintf(errors->text, sizeof errors->text, "more than %d scans", kMostScans);
  longjmp(errors->jump, 1);
}

void prepare(Errors& errors) {
  jpeg_std_error(&errors);
  errors.error_exit = leave;
  errors.emit_message = on_warning;
}

[[noreturn]] void fail(const Errors& errors) {
  const std::string text = errors.text;
  if (errors.msg_code == JERR_NO_SOI || errors.msg_code == JERR_INPUT_EMPTY)
    throw Failed("not a JPEG (" + text + "): give a photo as a camera writes it");
  if (errors.msg_code == JERR_NO_BACKING_STORE || errors.msg_code == JERR_OUT_OF_MEMORY)
    throw Failed("its decoder needs more than " + std::to_string(kMostDecoderBytes / 1'000'000) + " MB: scale it down");
  throw Failed("cannot be decoded (" + text + "): remove it or save it again");
}

}  // namespace

struct Jpeg::Decoder {
  Errors errors{};
  jpeg_decompress_struct jpeg{};
  jpeg_progress_mgr progress{};
  std::FILE* file = nullptr;
  ~Decoder() {
    jpeg_destroy_decompress(&jpeg);
    if (file) std::fclose(file);
  }

  void read_header() {
    if (setjmp(errors.jump)) fail(errors);
    jpeg_create_decompress(&jpeg);
    jpeg.mem->max_memory_to_use = kMostDecoderBytes;
    progress.progress_monitor = on_progress;
    jpeg.progress = &progress;
    jpeg_stdio_src(&jpeg, file);
    jpeg_save_markers(&jpeg, JPEG_APP0 + 1, 0xFFFF);
    jpeg_save_markers(&jpeg, JPEG_APP0 + 2, 0xFFFF);
    jpeg_read_header(&jpeg, TRUE);
  }

  // What follows `head` in the APP blocks of this number that begin with it, in their order.
  std::vector<std::string> blocks(int number, const std::string& head) const {
    std::vector<std::string> found;
    for (auto* one = jpeg.marker_list; one; one = one->next)
      if (one->marker == JPEG_APP0 + number && one->data_length >= head.size() &&
          std::memcmp(one->data, head.data(), head.size()) == 0)
        found.emplace_back(reinterpret_cast<const char*>(one->data) + head.size(), one->data_length - head.size());
    return found;
  }
};

Jpeg::Jpeg(const std::string& path) : decoder_(std::make_unique<Decoder>()) {
  prepare(decoder_->errors);
  decoder_->jpeg.err = &decoder_->errors;
  struct stat found{};
  if (stat(path.c_str(), &found) == 0 && !S_ISREG(found.st_mode)) throw Failed("not a file: give a photo's path");
  decoder_->file = std::fopen(path.c_str(), "rb");
  if (!decoder_->file) throw Failed(std::string("cannot be opened (") + std::strerror(errno) + ")");
  decoder_->read_header();
  const auto& jpeg = decoder_->jpeg;
  const long long pixels = static_cast<long long>(jpeg.image_width) * jpeg.image_height;
  if (pixels > kMostPixels)
    throw Failed("more than " + std::to_string(kMostPixels / 1'000'000) +
                 " megapixels, which may be an attack: scale it down");
  if (jpeg.num_components != 1 && jpeg.num_components != 3)
    throw Failed(std::to_string(jpeg.num_components) + " colours a pixel (CMYK?): save it as RGB");
}

Jpeg::~Jpeg() = default;
bool Jpeg::is_grey() const { return decoder_->jpeg.num_components == 1; }
int Jpeg::width() const { return static_cast<int>(decoder_->jpeg.output_width); }
int Jpeg::height() const { return static_cast<int>(decoder_->jpeg.output_height); }

int Jpeg::orientation() const {
  std::string exif, xmp;
  for (const auto& block : decoder_->blocks(1, "Exif\0\0"s)) exif += block;
  for (const auto& block : decoder_->blocks(1, "http://ns.adobe.com/xap/1.0/\0"s)) xmp = block;
  return orientation_of(exif, xmp);
}

// A profile is cut into blocks that begin with their number and how many there are.
std::string Jpeg::profile() const {
  auto blocks = decoder_->blocks(2, "ICC_PROFILE\0"s);
  std::sort(blocks.begin(), blocks.end());
  if (blocks.empty() || blocks[0].size() < 2 || static_cast<unsigned char>(blocks[0][1]) != blocks.size()) return {};
  std::string profile;
  for (const auto& block : blocks) profile += block.substr(std::min<size_t>(2, block.size()));
  return profile;
}

void Jpeg::start(bool grey) {
  Decoder& own = *decoder_;
  if (setjmp(own.errors.jump)) fail(own.errors);
  own.jpeg.out_color_space = grey ? JCS_GRAYSCALE : JCS_RGB;
  if (static_cast<long long>(own.jpeg.image_width) * own.jpeg.image_height > kWholePixels) own.jpeg.scale_denom = 2;
  jpeg_start_decompress(&own.jpeg);
}

void Jpeg::read_row(uint8_t* pixels) {
  Decoder& own = *decoder_;
  if (setjmp(own.errors.jump)) fail(own.errors);
  JSAMPROW rows[] = {pixels};
  jpeg_read_scanlines(&own.jpeg, rows, 1);
  if (own.jpeg.output_scanline == own.jpeg.output_height) jpeg_finish_decompress(&own.jpeg);
}

void write_jpeg(const std::string& path, const uint8_t* pixels, int size) {
  Errors errors{};
  prepare(errors);
  jpeg_compress_struct jpeg{};
  jpeg.err = &errors;
  std::FILE* volatile file = std::fopen(path.c_str(), "wb");
  if (!file) throw Failed(path + ": cannot be written: does its folder exist?");
  if (setjmp(errors.jump)) {
    jpeg_destroy_compress(&jpeg);
    std::fclose(file);
    throw Failed(path + ": cannot be written: is the disk full?");
  }
  jpeg_create_compress(&jpeg);
  jpeg_stdio_dest(&jpeg, file);
  jpeg.image_width = jpeg.image_height = static_cast<JDIMENSION>(size);
  jpeg.input_components = 3;
  jpeg.in_color_space = JCS_RGB;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, 95, TRUE);
  jpeg_start_compress(&jpeg, TRUE);
  while (jpeg.next_scanline < jpeg.image_height) {
    JSAMPROW rows[] = {const_cast<JSAMPROW>(pixels + 3 * static_cast<size_t>(size) * jpeg.next_scanline)};
    jpeg_write_scanlines(&jpeg, rows, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  if (std::fclose(file) != 0) throw Failed(path + ": cannot be written: is the disk full?");
}

}  // namespace mpox
