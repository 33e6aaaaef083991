// The one place that interprets --kv, --k and --v: the name of a codec, flashq-mixed, auto, or a file with a
// choice.
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

// Turns a text into the token ids of a prompt.
using Encoder = std::function<std::vector<int32_t>(std::string_view text)>;

struct CodecOptions {
  kv::CodecFlags flags{};
  kv::SoftmaxKind softmax = kv::SoftmaxKind::kExact;  // softmax of the run that will use the codecs
  std::string calibration{};                          // a text file; empty: CalibrationText
  std::string out{};  // where to write the choice; empty: nowhere, but auto keeps it in the user's cache
  // An earlier choice, as written by WriteChoice. It replaces the flags, whichever softmax it was found with:
  // a resumed run keeps its codecs.
  std::string stored{};
  std::string stored_in{};  // the file that `stored` comes from, for messages
  // The model that choices record; empty: the transformer's digest. That digest also covers activations in
  // f32, which do not make it another model.
  std::optional<Digest> model{};
};

// For --help: what may follow --kv.
std::string CodecHelp();

// True if the flags alone determine the codecs, without running a model or reading a file.
bool IsPlain(const kv::CodecFlags& flags);

// Throws kInvalid, in one sentence, for invalid flags, an invalid file, and a file whose codecs were found
// with another softmax. auto and flashq-mixed run the model on the calibration text; auto searches on its
// first half and proves the choice on the second (the built-in text has another one for that), and reuses a
// choice for the same model, text, softmax and parameters if the user's cache ($XDG_CACHE_HOME/throng or
// ~/.cache/throng) has one.
CodecChoice ChooseCodecs(const CodecOptions& options, model::Transformer& transformer, const Encoder& encode,
                         ThreadPool& threads);

}  // namespace throng::engine
