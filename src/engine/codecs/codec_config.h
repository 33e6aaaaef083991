// The one place that knows what --kv, --k and --v may say: the name of a codec, flashq-mixed, auto, or a file
// with a choice.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/codecs/codec_choice.h"

namespace throng {
class ThreadPool;
}
namespace throng::model {
class Transformer;
}

namespace throng::engine {

// Text to the token ids that a prompt of it has.
using Encoder = std::function<std::vector<int32_t>(std::string_view text)>;

struct CodecOptions {
  kv::CodecFlags flags{};
  kv::SoftmaxKind softmax = kv::SoftmaxKind::kExact;  // of the run that the codecs are for
  std::string calibration{};                          // a text file; empty: CalibrationText
  std::string out{};  // where to write the choice; empty: nowhere, but auto keeps it in the user's cache
  // A choice made before, as WriteChoice wrote it: used instead of the flags, whatever softmax it was found
  // with, because a run that goes on keeps its codecs.
  std::string stored{};
  std::string stored_in{};  // the file that it comes from, for messages
  // What choices name as their model; empty: the transformer's digest. Activations in f32 are part of that
  // one, but do not make another model of it.
  std::optional<Digest> model{};
};

// For --help: what may follow --kv.
std::string CodecHelp();

// The flags say it all: no model has to be run, and no file read, to know the codecs.
bool IsPlain(const kv::CodecFlags& flags);

// Throws kInvalid in one sentence for whatever the flags or the file may not say, and for a file whose codecs
// were found with another softmax. auto and flashq-mixed run the model on the calibration text; auto uses a
// choice of the same model, text, softmax and target again if the user's cache ($XDG_CACHE_HOME/throng or
// ~/.cache/throng) has one.
CodecChoice ChooseCodecs(const CodecOptions& options, model::Transformer& transformer, const Encoder& encode,
                         ThreadPool& threads);

}  // namespace throng::engine
