// A short convolution over a sequence's tokens, of each channel by itself.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "model/blocks/rows.h"
#include "model/blocks/step.h"

namespace throng::model {

// out[t] = bias + sum over i < taps of weights[i] in[t - taps + 1 + i]; before the first token, in is 0. The
// state is the last taps - 1 inputs: that of position p in row p % (taps - 1).
class CausalConv {
 public:
  CausalConv() = default;
  // weights: [channels, taps], the last for the token itself; bias: [channels], or empty. At least two taps.
  CausalConv(size_t taps, std::span<const float> weights, std::vector<float> bias);

  size_t Channels() const { return channels_; }
  size_t StateFloats() const { return (taps_ - 1) * channels_; }

  // in, out: [rows, channels], of all rows of the step; not the same. The state is that of a recurrent layer
  // from `offset` on.
  void Run(const Step& step, int layer, size_t offset, const Rows& in, Rows& out) const;

 private:
  void UpdateStates(const Step& step, int layer, size_t offset, const Rows& in) const;

  size_t taps_ = 0;
  size_t channels_ = 0;
  std::vector<float> weights_;  // [taps, channels]
  std::vector<float> bias_;
};

}  // namespace throng::model
