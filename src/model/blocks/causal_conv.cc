#include "model/blocks/causal_conv.h"

#include <algorithm>

#include "base/check.h"
#include "kv/cache/sequence_cache.h"
#include "model/blocks/recurrent_state.h"
#include "model/recurrence.h"

namespace throng::model {

CausalConv::CausalConv(size_t taps, std::span<const float> weights, std::vector<float> bias)
    : taps_(taps), channels_(weights.size() / taps), weights_(weights.size()), bias_(std::move(bias)) {
  THRONG_CHECK(taps >= 2);
  for (size_t c = 0; c < channels_; ++c) {
    for (size_t t = 0; t < taps; ++t) weights_[t * channels_ + c] = weights[c * taps + t];
  }
}

void CausalConv::Run(const Step& step, int layer, size_t offset, const Rows& in, Rows& out) const {
  const StatePart part{layer, offset, StateFloats()};
  out.Resize(step.NumRows(), channels_);
  step.ForEachItemRow(channels_ * taps_ / 8, [&](size_t item, size_t row) {
    const BatchItem& of_item = step.Items()[item];
    const float* state = part.Of(of_item);
    const size_t token = row - step.FirstRow(item);
    const size_t position = static_cast<size_t>(of_item.cache->NumTokens()) + token;
    std::vector<const float*> inputs(taps_);
    for (size_t back = 0; back < taps_; ++back) {
      // Rows of positions before the first are 0 as yet.
      const size_t state_row = (position + taps_ - 1 - back) % (taps_ - 1);
      inputs[taps_ - 1 - back] = back <= token ? in[row - back] : state + state_row * channels_;
    }
    Convolve(inputs, weights_.data(), bias_.empty() ? nullptr : bias_.data(), channels_, out[row]);
  });
  UpdateStates(step, layer, offset, in);
}

void CausalConv::UpdateStates(const Step& step, int layer, size_t offset, const Rows& in) const {
  const StatePart part{layer, offset, StateFloats()};
  step.ForEach(step.Items().size(), step.Items().size() * channels_ > 10000, [&](size_t i) {
    const BatchItem& item = step.Items()[i];
    UpdateState(item, part, [&](size_t first, size_t count) {
      for (size_t token = first + count - std::min(count, taps_ - 1); token < first + count; ++token) {
        const size_t position = static_cast<size_t>(item.cache->NumTokens()) + token;
        std::copy_n(in[step.FirstRow(i) + token], channels_,
                    part.Of(item) + position % (taps_ - 1) * channels_);
      }
    });
  });
}

}  // namespace throng::model
