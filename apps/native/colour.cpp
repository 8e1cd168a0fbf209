#include "colour.h"

#include <lcms2.h>

#include <cmath>
#include <cstdlib>
#include <vector>

namespace mpox {
namespace {

// Of 255: profiles that change no colour by more are sRGB under another name.
constexpr int kSame = 4;

bool changes_colours(cmsHTRANSFORM transform, bool grey) {
  std::vector<uint8_t> from;
  const int steps = grey ? 256 : 17;
  const auto step = [&](int k) { return static_cast<uint8_t>(std::nearbyint(k * 255.0 / (steps - 1))); };
  for (int r = 0; r < steps; ++r) {
    if (grey) from.push_back(step(r));
    for (int g = 0; !grey && g < steps; ++g)
      for (int b = 0; b < steps; ++b) from.insert(from.end(), {step(r), step(g), step(b)});
  }
  std::vector<uint8_t> to(grey ? 3 * from.size() : from.size());
  cmsDoTransform(transform, from.data(), to.data(), static_cast<cmsUInt32Number>(to.size() / 3));
  for (size_t k = 0; k < to.size(); ++k)
    if (std::abs(to[k] - from[grey ? k / 3 : k]) > kSame) return true;
  return false;
}

}  // namespace

ToSrgb::ToSrgb(const std::string& profile, bool grey) {
  const auto close = [](void* open) {
    if (open) cmsCloseProfile(open);
  };
  const std::unique_ptr<void, void (*)(void*)> own(
      cmsOpenProfileFromMem(profile.data(), static_cast<cmsUInt32Number>(profile.size())), close);
  const std::unique_ptr<void, void (*)(void*)> srgb(cmsCreate_sRGBProfile(), close);
  if (!own || !srgb) return;
  const auto space = cmsGetColorSpace(own.get());
  const bool of_grey = grey && space == cmsSigGrayData;
  if (!of_grey && space != cmsSigRgbData) return;
  cmsHTRANSFORM transform = cmsCreateTransform(own.get(), of_grey ? TYPE_GRAY_8 : TYPE_RGB_8, srgb.get(), TYPE_RGB_8,
                                               INTENT_PERCEPTUAL, cmsFLAGS_NOCACHE);
  if (!transform) return;
  transform_.reset(transform, cmsDeleteTransform);
  if (changes_colours(transform, of_grey))
    of_grey_ = of_grey;
  else
    transform_.reset();
}

bool ToSrgb::convert(const uint8_t* from, uint8_t* to, int count) const {
  if (transform_) cmsDoTransform(transform_.get(), from, to, static_cast<cmsUInt32Number>(count));
  return transform_ != nullptr;
}

}  // namespace mpox
