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

// Sums of weights and values begin with a half, so that they are rounded.
constexpr int32_t kHalf = 1 << (kFixedBits - 1);

std::vector<FixedTaps> fixed_taps(int from, int to, Filter filter) {
  std::vector<FixedTaps> all;
  for (const Taps& one : taps(from, to, filter)) {
    FixedTaps fixed{one.first, {}};
    for (const double weight : one.weights)
      fixed.weights.push_back(static_cast<int32_t>(weight * (1 << kFixedBits) + (weight < 0 ? -0.5 : 0.5)));
    all.push_back(std::move(fixed));
  }
  return all;
}

uint8_t rounded(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kFixedBits, 0, 255)); }

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

Square::Square(int width, int height, int orientation, int size, Steps steps, Filter filter)
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
  box_sums_.resize(3 * static_cast<size_t>(reduced_));
  line_.resize(box_sums_.size());
  taps_ = fixed_taps(reduced_, size, filter);
  sums_.assign(box_sums_.size() * size, kHalf);
}

void Square::take(int row, const uint8_t* pixels) {
  const int at = row - top_, block = bottom_up_ ? reduced_ - 1 - at / box_ : at / box_;
  for (int k = 0; k < reduced_; ++k) {
    uint32_t* sums = &box_sums_[3 * static_cast<size_t>(right_to_left_ ? reduced_ - 1 - k : k)];
    for (const uint8_t* end = pixels + 3 * box_; pixels < end; pixels += 3)
      for (int c = 0; c < 3; ++c) sums[c] += pixels[c];
  }
  if (at % box_ == box_ - 1) filter_boxes(block);
}

void Square::filter_boxes(int at) {
  const uint32_t count = box_ * box_;
  for (size_t k = 0; k < line_.size(); ++k) line_[k] = static_cast<uint8_t>((box_sums_[k] + count / 2) / count);
  std::fill(box_sums_.begin(), box_sums_.end(), 0);
  for (int k = 0; k < size_; ++k) {
    const auto& [first, weights] = taps_[k];
    const int last = first + static_cast<int>(weights.size());
    if (transposed_ && at >= first && at < last) {  // the line is a column: its part of column k of the result
      const int32_t weight = weights[at - first];
      int32_t* sums = &sums_[line_.size() * k];
      for (size_t i = 0; i < line_.size(); ++i) sums[i] += weight * line_[i];
    } else if (!transposed_) {
      int32_t* sums = &sums_[3 * (static_cast<size_t>(at) * size_ + k)];
      const uint8_t* in = &line_[3 * static_cast<size_t>(first)];
      for (const int32_t weight : weights)
        for (int c = 0; c < 3; ++c) sums[c] += weight * *in++;
    }
  }
}

std::vector<uint8_t> Square::picture() const {
  std::vector<uint8_t> out(3 * static_cast<size_t>(size_) * size_);
  std::vector<uint8_t> column(3 * static_cast<size_t>(reduced_));
  for (int x = 0; x < size_; ++x) {
    for (int y = 0; y < reduced_; ++y) {
      const size_t at = transposed_ ? static_cast<size_t>(x) * reduced_ + y : static_cast<size_t>(y) * size_ + x;
      for (int c = 0; c < 3; ++c) column[3 * y + c] = rounded(sums_[3 * at + c]);
    }
    for (int k = 0; k < size_; ++k) {
      const auto& [first, weights] = taps_[k];
      for (int c = 0; c < 3; ++c) {
        int32_t sum = kHalf;
        for (size_t j = 0; j < weights.size(); ++j) sum += weights[j] * column[3 * (first + j) + c];
        out[3 * (static_cast<size_t>(k) * size_ + x) + c] = rounded(sum);
      }
    }
  }
  return out;
}

}  // namespace mpox
