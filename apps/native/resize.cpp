#include "resize.h"

#include <algorithm>
#include <cmath>

#include "failed.h"

namespace mpox {
namespace {

// Weights in fixed point, as Pillow has them: the same sums on every processor.
constexpr int kFixedBits = 22;

double support_of(Filter filter) { return filter == Filter::kBilinear ? 1 : filter == Filter::kBicubic ? 2 : 3; }

double sinc(double x) { return x == 0 ? 1 : std::sin(M_PI * x) / (M_PI * x); }

double value(Filter filter, double at) {
  const double x = std::fabs(at);
  switch (filter) {
    case Filter::kBilinear:
      return std::max(0.0, 1 - x);
    case Filter::kBicubic:
      return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? -0.5 * (((x - 5) * x + 8) * x - 4) : 0;
    case Filter::kLanczos:
      return x < 3 ? sinc(x) * sinc(x / 3) : 0;
  }
  return 0;
}

// One pass over 8-bit pixels, (rows, from, 3) to (to, rows, 3): resized along the rows, rounded, transposed.
std::vector<uint8_t> turned_rows(const std::vector<uint8_t>& pixels, int rows, int from, int to, Filter filter) {
  std::vector<uint8_t> out(static_cast<size_t>(3) * rows * to);
  const auto all = taps(from, to, filter);
  for (int k = 0; k < to; ++k) {
    std::vector<int32_t> fixed;
    for (const double weight : all[k].weights)
      fixed.push_back(static_cast<int32_t>(weight * (1 << kFixedBits) + (weight < 0 ? -0.5 : 0.5)));
    for (int row = 0; row < rows; ++row) {
      const uint8_t* in = &pixels[3 * (static_cast<size_t>(row) * from + all[k].first)];
      int32_t sums[3] = {1 << (kFixedBits - 1), 1 << (kFixedBits - 1), 1 << (kFixedBits - 1)};
      for (const int32_t weight : fixed)
        for (int32_t& sum : sums) sum += weight * *in++;
      for (int c = 0; c < 3; ++c)
        out[3 * (static_cast<size_t>(k) * rows + row) + c] =
            static_cast<uint8_t>(std::clamp(sums[c] >> kFixedBits, 0, 255));
    }
  }
  return out;
}

}  // namespace

Steps steps_of(const std::string& name) {
  if (name == "one_step") return Steps::kOne;
  if (name == "two_step") return Steps::kTwo;
  throw Failed("its resize " + name + " is not known here: build this program again from the version that exported it");
}

Filter filter_of(const std::string& name) {
  if (name == "bilinear") return Filter::kBilinear;
  if (name == "bicubic") return Filter::kBicubic;
  if (name == "lanczos") return Filter::kLanczos;
  throw Failed("its filter " + name + " is not known here: build this program again from the version that exported it");
}

std::vector<Taps> taps(int from, int to, Filter filter) {
  const double scale = static_cast<double>(from) / to, reach = std::max(scale, 1.0), per_reach = 1 / reach;
  const double support = support_of(filter) * reach;
  std::vector<Taps> all;
  for (int k = 0; k < to; ++k) {
    const double centre = (k + 0.5) * scale;
    const int low = std::max(0, static_cast<int>(centre - support + 0.5));
    const int high = std::min(from, static_cast<int>(centre + support + 0.5));
    Taps one{low, {}};
    double total = 0;
    for (int i = low; i < high; ++i) {
      one.weights.push_back(value(filter, (i - centre + 0.5) * per_reach));
      total += one.weights.back();
    }
    for (double& weight : one.weights) weight /= total;
    all.push_back(std::move(one));
  }
  return all;
}

Square::Square(int width, int height, int orientation, int size, Steps steps)
    : size_(size),
      right_to_left_(orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8),
      bottom_up_(orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7),
      transposed_(orientation >= 5) {
  const int least = std::min(width, height);
  while (steps == Steps::kTwo && least / (2 * box_) >= 2 * size) box_ *= 2;
  reduced_ = least / box_;
  const int margin_x = width - side(), margin_y = height - side();
  // At the left and at the top of the upright photo, the smaller half of an uneven margin is cut off.
  left_ = right_to_left_ ? margin_x - margin_x / 2 : margin_x / 2;
  top_ = bottom_up_ ? margin_y - margin_y / 2 : margin_y / 2;
  sums_.resize(3 * static_cast<size_t>(reduced_));
  square_.resize(3 * static_cast<size_t>(reduced_) * reduced_);
}

void Square::take(int row, const uint8_t* pixels) {
  const int at = row - top_, block = bottom_up_ ? reduced_ - 1 - at / box_ : at / box_;
  for (int k = 0; k < reduced_; ++k) {
    uint32_t* sums = &sums_[3 * static_cast<size_t>(right_to_left_ ? reduced_ - 1 - k : k)];
    for (const uint8_t* end = pixels + 3 * box_; pixels < end; pixels += 3)
      for (int c = 0; c < 3; ++c) sums[c] += pixels[c];
  }
  if (at % box_ == box_ - 1) store_blocks(block);
}

void Square::store_blocks(int v) {
  const uint32_t count = box_ * box_;
  for (int u = 0; u < reduced_; ++u) {
    const size_t to = transposed_ ? static_cast<size_t>(u) * reduced_ + v : static_cast<size_t>(v) * reduced_ + u;
    for (int c = 0; c < 3; ++c) square_[3 * to + c] = static_cast<uint8_t>((sums_[3 * u + c] + count / 2) / count);
  }
  std::fill(sums_.begin(), sums_.end(), 0);
}

std::vector<uint8_t> Square::picture(Filter filter) const {
  const auto narrow = turned_rows(square_, reduced_, reduced_, size_, filter);
  return turned_rows(narrow, size_, reduced_, size_, filter);
}

}  // namespace mpox
