// The one place that knows what --kv, --k and --v may say: the name of a codec, flashq-mixed, auto, or a file
// with a choice.
#pragma once

#include <optional>
#include <string>

#include "engine/codecs/calibration.h"
#include "engine/codecs/codec_choice.h"

namespace throng {
class ThreadPool;
}
namespace throng::model {
class Tokenizer;
class Transformer;
}  // namespace throng::model

namespace throng::engine {

struct CodecOptions {
  kv::CodecFlags flags{};
  std::string calibration{};  // a text file; empty: CalibrationText
  std::string out{};     // where to write the choice; empty: nowhere, but auto keeps it in the user's cache
  std::string stored{};  // a choice made before, as WriteChoice wrote it: used instead of the flags
  std::string stored_in{};  // the file that it comes from, for messages
  // What choices name as their model; empty: the transformer's digest. Activations in f32 are part of that
  // one, but do not make another model of it.
  std::optional<Digest> model{};
};

// For --help: what may follow --kv.
std::string CodecHelp();

// The flags say it all: no model has to be run, and no file read, to know the codecs.
bool IsPlain(const kv::CodecFlags& flags);

// Throws kInvalid in one sentence for whatever the flags or the file may not say. auto and flashq-mixed run
// the model on the calibration text; auto uses a choice of the same model, text and target again if the
// user's cache ($XDG_CACHE_HOME/throng or ~/.cache/throng) has one.
CodecChoice ChooseCodecs(const CodecOptions& options, model::Transformer& transformer, const Encoder& encode,
                         ThreadPool& threads);

// The layout of that choice, for those who need no more.
kv::BlockLayout MakeKvLayout(const kv::CodecFlags& flags, model::Transformer& transformer,
                             const model::Tokenizer& tokenizer, ThreadPool& threads);

}  // namespace throng::engine
