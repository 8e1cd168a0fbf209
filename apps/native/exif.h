#pragma once
#include <string>

namespace mpox {
// How a photo is stored, 1 to 8: by its EXIF block (TIFF, from its byte order on), else by its XMP, else 1.
int orientation_of(const std::string& exif, const std::string& xmp);
}  // namespace mpox
