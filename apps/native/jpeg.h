// Reading a JPEG file row by row as a camera wrote it, and writing one.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mpox {

class Jpeg {
 public:
  // Reads the header. Throws Failed for what is no JPEG, too large, or of colours that no camera writes (CMYK).
  explicit Jpeg(const std::string& path);
  ~Jpeg();
  Jpeg(const Jpeg&) = delete;
  Jpeg& operator=(const Jpeg&) = delete;

  bool is_grey() const;
  // EXIF's number for how the photo is stored, 1 to 8; 1 where the file holds none.
  int orientation() const;
  // Its ICC profile, or empty.
  std::string profile() const;

  // Starts decoding, to R, G, B or to `grey` values. From here on width and height are known: half the file's own for
  // photos of more than 80 megapixels, as in training.
  void start(bool grey);
  int width() const;
  int height() const;
  // Decodes the next row. Throws Failed where the file is broken or cut short.
  void read_row(uint8_t* pixels);

 private:
  struct Decoder;
  std::unique_ptr<Decoder> decoder_;
};

// Writes R, G, B pixels (size x size). Throws Failed, with the path.
void write_jpeg(const std::string& path, const uint8_t* pixels, int size);

}  // namespace mpox
