#include "model.h"

#include <executorch/extension/tensor/tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "failed.h"

using executorch::extension::Module;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::Program;
using mpox::Failed;

namespace {

// Files of format 2 give logits with the temperature in them.
constexpr int64_t kFormat = 2;
constexpr double kRounding = 1e-12;

std::vector<float> softmax(const float* logits, size_t count) {
  const double largest = *std::max_element(logits, logits + count);
  double total = 0;
  for (size_t k = 0; k < count; ++k) total += std::exp(logits[k] - largest);
  std::vector<float> probabilities;
  for (size_t k = 0; k < count; ++k) probabilities.push_back(static_cast<float>(std::exp(logits[k] - largest) / total));
  return probabilities;
}

std::string two_digits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value);
  return text;
}

}  // namespace

mpox_model::mpox_model(const std::string& path) : module_(path) {
  if (module_.load(Program::Verification::InternalConsistency) != Error::Ok)
    throw Failed("cannot be loaded: give a whole .pte file that python -m mpox.export wrote");
  const auto names = module_.method_names();
  const auto has = [&](const char* name) { return names.ok() && names->count(name) == 1; };
  if (!has("format") || constant("format")[0].toInt() != kFormat)
    throw Failed("is of another format than this program: export it again");
  for (const char* name : {"forward", "labels", "image_size", "interpolation", "input", "quantiles"})
    if (!has(name)) throw Failed(std::string("has no ") + name + ": export it again");
  for (const EValue& label : constant("labels")) labels.emplace_back(label.toString());
  for (const std::string& label : labels) label_pointers.push_back(label.c_str());
  size = static_cast<int>(constant("image_size")[0].toInt());
  filter = mpox::filter_of(std::string(constant("interpolation")[0].toString()));
  if (has("resize")) steps = mpox::steps_of(std::string(constant("resize")[0].toString()));  // older files: one step
  takes_bytes = constant("input")[0].toString() == "uint8_nhwc";
  for (const EValue& quantile : constant("quantiles")) quantiles_.push_back(quantile.toDouble());
  if (has("threshold") && has("positive")) {
    positive_ = static_cast<int>(constant("positive")[0].toInt());
    threshold_ = constant("threshold")[0].toDouble();
  }
  explains = has("explain");
  const int classes = static_cast<int>(labels.size());
  if (classes < 2 || quantiles_.size() != labels.size() || positive_ >= classes || size < 1 || size > 4096)
    throw Failed("its constants contradict one another: export it again");
  if (module_.load_method("forward") != Error::Ok)
    throw Failed(
        "its network cannot be loaded: build this program with ExecuTorch's version that exported it, or later");
}

std::vector<EValue> mpox_model::constant(const char* name) {
  auto values = module_.execute(name);
  if (!values.ok() || values->empty()) throw Failed(std::string("gives no ") + name + ": export it again");
  return std::move(*values);
}

mpox_model::Outputs mpox_model::run(const std::vector<uint8_t>& picture, bool explain) {
  using executorch::aten::ScalarType;
  if (explain && !explains) throw Failed("the model has no maps (its contract.json gives the reason)");
  std::vector<uint8_t> bytes;
  std::vector<float> planes;
  const size_t pixels = static_cast<size_t>(size) * size;
  if (takes_bytes) {
    bytes = picture;
  } else {
    planes.resize(3 * pixels);
    for (size_t k = 0; k < pixels; ++k)
      for (size_t c = 0; c < 3; ++c) planes[c * pixels + k] = picture[3 * k + c];
  }
  const auto tensor = takes_bytes ? executorch::extension::from_blob(bytes.data(), {1, size, size, 3}, ScalarType::Byte)
                                  : executorch::extension::from_blob(planes.data(), {1, 3, size, size});
  auto values = module_.execute(explain ? "explain" : "forward", EValue(*tensor));
  const size_t expected = explain ? 2 : 1;
  if (!values.ok() || values->size() != expected || !(*values)[0].isTensor())
    throw Failed("the model cannot be run: export it again");
  const auto logits = (*values)[0].toTensor();
  if (logits.numel() != static_cast<ssize_t>(labels.size()) || logits.scalar_type() != ScalarType::Float)
    throw Failed("the model's logits are not one a class: export it again");
  Outputs outputs;
  outputs.probabilities = softmax(logits.const_data_ptr<float>(), labels.size());
  if (explain) {
    const auto maps = (*values)[1].toTensor();
    if (maps.dim() != 4 || maps.size(1) != static_cast<ssize_t>(labels.size()) ||
        maps.scalar_type() != ScalarType::Float)
      throw Failed("the model's maps are not one a class: export it again");
    outputs.map_height = static_cast<int>(maps.size(2));
    outputs.map_width = static_cast<int>(maps.size(3));
    outputs.maps.assign(maps.const_data_ptr<float>(), maps.const_data_ptr<float>() + maps.numel());
  }
  return outputs;
}

mpox_model::Decision mpox_model::decide(const std::vector<float>& p) const {
  const int largest = static_cast<int>(std::max_element(p.begin(), p.end()) - p.begin());
  Decision decision{largest, "", {}};
  std::string within;
  for (size_t k = 0; k < p.size(); ++k) {
    decision.in_set.push_back(1 - static_cast<double>(p[k]) <= quantiles_[k] + kRounding);
    if (decision.in_set.back()) within += (within.empty() ? "" : " or ") + labels[k];
  }
  if (positive_ >= 0 && (largest == positive_ || p[positive_] >= threshold_)) {
    decision.label = positive_;
    decision.why = labels[positive_] + (largest == positive_ ? " is suspected"
                                                             : " cannot be ruled out: " + two_digits(p[positive_]) +
                                                                   " reaches the threshold " + two_digits(threshold_));
  } else if (within != labels[largest]) {
    decision.why = within.empty() ? "unsure: it is like none of the known classes" : "unsure: it may be " + within;
  }
  return decision;
}
