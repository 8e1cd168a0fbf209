#pragma once
#include <stdexcept>

namespace mpox {
// What is wrong with an input and how to fix it, in one line without the input's name.
struct Failed : std::runtime_error {
  using std::runtime_error::runtime_error;
};
// More than this is more likely an attack than a photo.
constexpr long long kMostPixels = 256'000'000;
}  // namespace mpox
