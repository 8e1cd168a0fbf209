// From a photo's rows to the working picture, by the contract's definition: mpox.data.working_picture.square.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace mpox {

// The constant `resize` of a file: the filter alone, or boxes of a power of two before it where the photo is large.
enum class Steps { kOne, kTwo };
enum class Filter { kBilinear, kBicubic, kLanczos };

// Throw Failed for names that this version does not know.
Steps steps_of(const std::string& name);
Filter filter_of(const std::string& name);

// The antialiased filter along one axis: `weights` of `first`, `first` + 1, ... add up to one output value.
struct Taps {
  int first;
  std::vector<double> weights;
};
std::vector<Taps> taps(int from, int to, Filter filter);
struct FixedTaps {
  int first;
  std::vector<int32_t> weights;
};

// Takes a photo's rows one after the other as they are stored and gives the working picture of the upright photo. Held
// are the sums of the filter's first pass: 12 `size` bytes a row of the square that the boxes leave, which has less
// than 4 `size` rows with two steps.
class Square {
 public:
  // Width and height as stored; `orientation` is EXIF's, 1 to 8.
  Square(int width, int height, int orientation, int size, Steps steps, Filter filter);
  // The stored columns that `take` wants: `side()` of them from `left()`.
  int left() const { return left_; }
  int side() const { return reduced_ * box_; }
  bool wants(int row) const { return row >= top_ && row < top_ + side(); }
  // `pixels`: R, G, B of the columns of one wanted row.
  void take(int row, const uint8_t* pixels);
  // size x size x 3, upright; all wanted rows must have been taken.
  std::vector<uint8_t> picture() const;

 private:
  // Adds a row of boxes to the sums: row `at` of the reduced square, or column `at` where the photo is transposed.
  void filter_boxes(int at);

  int size_, box_ = 1, reduced_ = 0, left_ = 0, top_ = 0;
  bool right_to_left_, bottom_up_, transposed_;
  std::vector<uint32_t> box_sums_;
  std::vector<uint8_t> line_;
  std::vector<FixedTaps> taps_;
  std::vector<int32_t> sums_;
};

}  // namespace mpox
