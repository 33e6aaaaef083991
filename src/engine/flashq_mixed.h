// The layout flashq-mixed: FlashQ with 2 bits for half of each layer's KV heads and 4 for the others.
#pragma once

#include "kv/codec_table.h"

namespace throng {
class ThreadPool;
}
namespace throng::model {
class Tokenizer;
class Transformer;
}  // namespace throng::model

namespace throng::engine {

// Keys, values or both are flashq-mixed; the other is a codec of the table. Ranks the heads (see
// kv/flashq/flashq_priority.h) by the model's keys and values for 128 tokens of a fixed text: a function of
// the model alone, computed each time that it is loaded.
kv::BlockLayout MakeFlashqMixedLayout(const kv::CodecFlags& flags, model::Transformer& transformer,
                                      const model::Tokenizer& tokenizer, ThreadPool& threads);

}  // namespace throng::engine
