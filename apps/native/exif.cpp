#include "exif.h"

#include <cstdint>
#include <optional>

namespace mpox {
namespace {

constexpr uint32_t kOrientation = 0x0112, kByte = 1, kShort = 3, kLong = 4;

// Numbers of a TIFF structure; nothing where it ends before.
class Numbers {
 public:
  explicit Numbers(const std::string& block) : block_(block), big_(block.rfind("MM", 0) == 0) {}
  std::optional<uint32_t> at(size_t place, size_t bytes) const {
    if (place > block_.size() || bytes > block_.size() - place) return {};
    uint32_t value = 0;
    for (size_t k = 0; k < bytes; ++k)
      value = value << 8 | static_cast<uint8_t>(block_[place + (big_ ? k : bytes - 1 - k)]);
    return value;
  }

 private:
  const std::string& block_;
  bool big_;
};

std::optional<uint32_t> in_exif(const std::string& block) {
  const Numbers numbers(block);
  if (numbers.at(2, 2) != 42u || (block.rfind("MM", 0) != 0 && block.rfind("II", 0) != 0)) return {};
  const auto directory = numbers.at(4, 4);
  if (!directory) return {};
  const uint32_t entries = numbers.at(*directory, 2).value_or(0);
  for (uint32_t k = 0; k < entries; ++k) {
    const size_t entry = static_cast<size_t>(*directory) + 2 + 12 * static_cast<size_t>(k);
    if (numbers.at(entry, 2) != kOrientation) continue;
    const auto kind = numbers.at(entry + 2, 2), count = numbers.at(entry + 4, 4);
    const size_t bytes = kind == kByte ? 1 : kind == kShort ? 2 : kind == kLong ? 4 : 0;
    if (!bytes || !count || *count == 0) return 0;
    // More than four bytes of values stand elsewhere; an entry whose values are not there is none.
    const std::optional<size_t> place = bytes * *count <= 4 ? entry + 8 : numbers.at(entry + 8, 4);
    if (place && numbers.at(*place + bytes * (*count - 1), bytes)) return numbers.at(*place, bytes);
  }
  return {};
}

std::optional<uint32_t> in_xmp(const std::string& text) {
  const std::string key = "tiff:Orientation";
  for (size_t at = text.find(key); at != std::string::npos; at = text.find(key, at + 1)) {
    size_t digit = at + key.size();
    if (text.compare(digit, 2, "=\"") == 0)
      digit += 2;
    else if (text.compare(digit, 1, ">") == 0)
      digit += 1;
    else
      continue;
    if (digit < text.size() && text[digit] >= '0' && text[digit] <= '9') return text[digit] - '0';
  }
  return {};
}

}  // namespace

int orientation_of(const std::string& exif, const std::string& xmp) {
  auto value = in_exif(exif);
  if (!value) value = in_xmp(xmp);
  return value && *value >= 1 && *value <= 8 ? static_cast<int>(*value) : 1;
}

}  // namespace mpox
