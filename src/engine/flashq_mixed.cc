#include "engine/flashq_mixed.h"

#include <limits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "kv/block_pool.h"
#include "kv/flashq/flashq_priority.h"
#include "kv/sequence_cache.h"
#include "model/config.h"
#include "model/tokenizer.h"
#include "model/transformer.h"

namespace throng::engine {
namespace {

constexpr int kTokens = 2 * kv::kPageTokens;

// Several kinds of text, as heads differ in what they react to. To change it is to change what flashq-mixed
// means.
constexpr std::string_view kText =
    "The ferry left the harbour at seven, while the town behind it was still waking up. Anna counted the "
    "boxes "
    "on deck: 12 of apples, 7 of bread, 3 of letters. \"Is that all?\" asked the captain. \"No,\" she said, "
    "\"two more are coming with the baker's cart, if he remembers.\" He laughed, because the baker never "
    "did. "
    "Rain was expected before noon, and by then they had to be on the other side of the bay.\n"
    "To make a simple soup, cut one onion and two carrots, fry them in a little oil for five minutes, add a "
    "litre of water and some salt, and let it boil until everything is soft. Serve with fresh bread.\n"
    "def mean(values):\n    total = 0\n    for value in values:\n        total += value\n"
    "    return total / len(values)\n"
    "Question: what is 17 times 6? Answer: 17 times 6 is 102, because 17 times 5 is 85 and 85 plus 17 is "
    "102. "
    "In 1869 a chemist put the known elements in order of their weight, and left gaps for those that nobody "
    "had "
    "found yet; within twenty years three of them were discovered.\n";

std::vector<int32_t> Tokens(const model::Tokenizer& tokenizer, const model::ModelConfig& config) {
  std::vector<int32_t> tokens =
      tokenizer.Encode(kText, {.add_bos = tokenizer.AddsBos(), .parse_special = false});
  if (tokens.size() < kTokens || config.context_length < kTokens) {
    throw MakeError(ErrorCode::kUnsupported,
                    "{}: ranking the heads takes {} tokens, the model's context has {} and the text {}",
                    kv::kFlashqMixed, kTokens, config.context_length, tokens.size());
  }
  tokens.resize(kTokens);
  return tokens;
}

double Priority(const kv::SequenceCache& cache, kv::Part part, int layer, int head) {
  const kv::BlockLayout& layout = cache.Layout();
  const kv::PageSpec& page = layout.At(layer, head);
  const size_t size = static_cast<size_t>(kv::kPageTokens) * layout.head_dim;
  std::vector<float> rows(kTokens / kv::kPageTokens * size);
  for (int block = 0; block < kTokens / kv::kPageTokens; ++block) {
    const kv::PageView view = cache.Sealed(layer, head, block);
    float* to = rows.data() + block * size;
    if (part == kv::Part::kKeys) {
      page.keys->Decode(part, view.keys, to);
    } else {
      page.values->Decode(part, view.values, to);
    }
  }
  return kv::FlashqPriority(rows, layout.head_dim);
}

// Bits of each head: [num_layers, num_kv_heads].
std::vector<int> HeadBits(const kv::SequenceCache& cache, kv::Part part) {
  const kv::BlockLayout& layout = cache.Layout();
  std::vector<int> bits;
  for (int layer = 0; layer < layout.num_layers; ++layer) {
    std::vector<double> priorities;
    for (int head = 0; head < layout.num_kv_heads; ++head) {
      priorities.push_back(Priority(cache, part, layer, head));
    }
    const std::vector<int> of_layer = kv::FlashqHeadBits(priorities);
    bits.insert(bits.end(), of_layer.begin(), of_layer.end());
  }
  return bits;
}

}  // namespace

kv::BlockLayout MakeFlashqMixedLayout(const kv::CodecFlags& flags, model::Transformer& transformer,
                                      const model::Tokenizer& tokenizer, ThreadPool& threads) {
  const model::ModelConfig& config = transformer.Config();
  const std::vector<int32_t> tokens = Tokens(tokenizer, config);
  kv::BlockPool pool(kv::MakeLayout({.kv = "f32"}, config.num_layers, config.num_kv_heads, config.head_dim),
                     std::numeric_limits<size_t>::max() / 2);
  kv::SequenceCache cache(pool);
  if (!cache.Reserve(kTokens)) throw MakeError(ErrorCode::kExhausted, "{}: out of memory", kv::kFlashqMixed);
  const model::BatchItem item{tokens, &cache, 0};
  transformer.Forward({&item, 1}, threads, nullptr);

  const auto four = kv::ParseCodec("flashq4", config.head_dim);
  const auto two = kv::ParseCodec("flashq2", config.head_dim);
  const std::vector<int> key_bits = HeadBits(cache, kv::Part::kKeys);
  const std::vector<int> value_bits = HeadBits(cache, kv::Part::kValues);
  const auto chooser = [&](const std::string& spec, const std::vector<int>& bits) {
    const auto same = spec == kv::kFlashqMixed ? nullptr : kv::ParseCodec(spec, config.head_dim);
    return [&bits, same, four, two](size_t page) {
      if (same != nullptr) return same;
      return bits[page] == 2 ? two : four;
    };
  };
  const auto keys = chooser(flags.Keys(), key_bits);
  const auto values = chooser(flags.Values(), value_bits);
  const auto choose = [&](int layer, int head) {
    const size_t page = static_cast<size_t>(layer) * config.num_kv_heads + head;
    return kv::CodecPair{keys(page), values(page)};
  };
  return kv::MakeLayout(choose, config.num_layers, config.num_kv_heads, config.head_dim);
}

}  // namespace throng::engine
