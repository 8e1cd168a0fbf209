// An exported file, run by ExecuTorch, and the rule of decision that it carries.
#pragma once
#include <executorch/extension/module/module.h>

#include <cstdint>
#include <string>
#include <vector>

#include "mpox.h"
#include "resize.h"

// The struct behind mpox.h's handle.
struct mpox_model {
  // Throws Failed for a file that cannot be loaded or that an older or newer version of the project exported.
  explicit mpox_model(const std::string& path);

  std::vector<std::string> labels;
  std::vector<const char*> label_pointers;
  int size = 0;
  mpox::Steps steps = mpox::Steps::kOne;
  mpox::Filter filter;
  bool takes_bytes = false;
  bool explains = false;

  struct Outputs {
    std::vector<float> probabilities;
    std::vector<float> maps;  // one a class, `map_height` x `map_width`
    int map_height = 0, map_width = 0;
  };
  // `picture`: R, G, B, size x size.
  Outputs run(const std::vector<uint8_t>& picture, bool explain);

  struct Decision {
    int label;
    std::string why;  // empty: not referred
    std::vector<unsigned char> in_set;
  };
  // mpox.mobile.run.decision_rule.decide, for files with prediction sets.
  Decision decide(const std::vector<float>& probabilities) const;

 private:
  std::vector<executorch::runtime::EValue> constant(const char* name);

  executorch::extension::Module module_;
  int positive_ = -1;  // the class that is mpox; -1: none
  double threshold_ = 2;
  std::vector<double> quantiles_;
};
