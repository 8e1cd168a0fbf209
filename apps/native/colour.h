// From a photo's own colour space to sRGB: mpox.data.colour.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

namespace mpox {

class ToSrgb {
 public:
  // `profile`: an ICC profile, or empty. `grey`: the photo's pixels are one value each.
  // A profile that cannot be read, is for pixels of another kind, or is sRGB under another name changes nothing.
  ToSrgb(const std::string& profile, bool grey);
  // Whether `convert` takes grey values; otherwise it takes R, G, B.
  bool of_grey() const { return of_grey_; }
  // Writes `count` pixels of `from` as R, G, B to `to` and returns true; false: `from` is R, G, B that stays as it is.
  bool convert(const uint8_t* from, uint8_t* to, int count) const;

 private:
  std::shared_ptr<void> transform_;
  bool of_grey_ = false;
};

}  // namespace mpox
