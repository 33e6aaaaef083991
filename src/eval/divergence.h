// How far a compressed cache moves a model's predictions: against the same model over an f32 cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace throng {
class ThreadPool;
}
namespace throng::model {
class Transformer;
}

namespace throng::eval {

struct Divergence {
  std::string kv;
  size_t positions = 0;  // that were compared
  double kl_mean = 0.0;  // KL(f32 || codec) of the next token's distribution, nats
  double kl_p99 = 0.0;
  double top1 = 0.0;  // share of positions where both find the same token likeliest
  double ppl = 0.0;   // perplexity over the text's own tokens
  double bytes_per_token = 0.0;
  double ratio_to_f16 = 0.0;  // how many times smaller than f16
};

// Compares at the positions that attend to at least one sealed page: from token 64 of each text on. Texts are
// cut to the model's context. Throws kInvalid if no text is long enough, or a codec does not exist.
std::vector<Divergence> MeasureDivergence(model::Transformer& transformer,
                                          std::span<const std::vector<int32_t>> texts,
                                          std::span<const std::string> codecs, ThreadPool& threads);

}  // namespace throng::eval
