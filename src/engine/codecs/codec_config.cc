#include "engine/codecs/codec_config.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>

#include "attention/sas.h"
#include "base/atomic_file.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "base/text/key_values.h"
#include "engine/codecs/calibration.h"
#include "engine/codecs/codec_search.h"
#include "engine/codecs/flashq_mixed.h"
#include "engine/codecs/key_means.h"
#include "engine/codecs/kv_probe.h"
#include "kv/codec_table.h"
#include "model/config.h"
#include "model/transformer.h"

namespace throng::engine {
namespace {

constexpr std::string_view kAuto = "auto";
constexpr double kDefaultTarget = 0.01;
constexpr double kDefaultTail = 20.0;  // p99= that is not given, times kl=
// Another search gives other choices: a new version voids those in the cache.
constexpr int kSearchVersion = 3;
constexpr size_t kMostHeldOutTokens = 2048;
constexpr uintmax_t kMostFileBytes = 4 << 20;

bool IsAuto(std::string_view spec) { return spec.substr(0, spec.find(':')) == kAuto; }
bool IsFile(std::string_view spec) { return spec.ends_with(".json"); }
bool NeedsMeans(std::string_view spec) { return kv::SplitKeyBias(spec).bias == kv::KeyBias::kMean; }

// What follows "auto:".
struct AutoSpec {
  KlFigures target;
  kv::KeyBias bias;
  kv::FineWindow window;
};

AutoSpec ParseAuto(std::string_view spec) {
  const kv::KeySpec keys = kv::SplitKeyBias(spec);
  const kv::WindowSpec window = kv::SplitWindow(keys.codec);
  KeyValues parameters(fmt::format("codec {}", kAuto), SplitName(window.codec).values);
  AutoSpec parsed{.target = {}, .bias = keys.bias, .window = window.window};
  parsed.target.mean = parameters.Fraction("kl", kDefaultTarget, 1e-6, 10.0);
  parsed.target.p99 = parameters.Fraction("p99", kDefaultTail * parsed.target.mean, 1e-6, 100.0);
  parameters.CheckAllUsed();
  return parsed;
}

void Check(const CodecOptions& options) {
  const kv::CodecFlags& flags = options.flags;
  for (const std::string* spec : {&flags.k, &flags.v}) {
    if (!IsAuto(*spec) && !IsFile(*spec)) continue;
    throw MakeError(ErrorCode::kInvalid,
                    "KV codec {}: it is for keys and values together, so it can be given as --kv alone",
                    *spec);
  }
  const bool together = IsAuto(flags.kv) || IsFile(flags.kv);
  if (together && (!flags.k.empty() || !flags.v.empty())) {
    throw MakeError(
        ErrorCode::kInvalid,
        "KV codec {}: it says which codecs keys and values have; --k and --v cannot be given beside it",
        flags.kv);
  }
  if (!options.calibration.empty() && (together ? IsFile(flags.kv) : IsPlain(flags))) {
    throw MakeError(ErrorCode::kInvalid,
                    "--calibration {}: only --kv auto, {} and bias=mean read a text, --kv is {}",
                    options.calibration, kv::kFlashqMixed, flags.kv);
  }
}

std::string ReadBounded(const std::string& path) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (!error && size > kMostFileBytes) {
    throw MakeError(ErrorCode::kInvalid, "{}: it has {} bytes, at most {} are read", path, size,
                    kMostFileBytes);
  }
  return ReadFile(path);
}

// Empty if the system does not say where the user's cache is.
std::string CachePath(const CodecChoice& choice, const AutoSpec& spec, const Digest& transformer) {
  const char* const cache = std::getenv("XDG_CACHE_HOME");
  const char* const home = std::getenv("HOME");
  std::filesystem::path folder;
  if (cache != nullptr && *cache == '/') {
    folder = cache;
  } else if (home != nullptr && *home == '/') {
    folder = std::filesystem::path(home) / ".cache";
  } else {
    return "";
  }
  const Digest key = Hasher()
                         .Add(kSearchVersion)
                         .Add(transformer)
                         .Add(choice.text)
                         .Add(attention::SoftmaxName(choice.softmax))
                         .Add(spec.target.mean)
                         .Add(spec.target.p99)
                         .Add(static_cast<int>(spec.bias))
                         .Add(spec.window.sink_blocks)
                         .Add(spec.window.recent_blocks)
                         .Finish();
  return (folder / "throng" / ("kv-" + key.Hex() + ".json")).string();
}

// Called only where a choice is read, searched or written: it may read all weights.
Digest ModelOf(const CodecOptions& options, const model::Transformer& transformer) {
  return options.model ? *options.model : transformer.WeightsDigest();
}

// Plain codecs suit every softmax.
void CheckSoftmax(const CodecChoice& choice, kv::SoftmaxKind softmax, const std::string& where) {
  if (choice.text == Digest{} || choice.softmax == softmax) return;
  throw MakeError(ErrorCode::kInvalid, "{}: its codecs were found with the softmax {}, this run has {}",
                  where, attention::SoftmaxName(choice.softmax), attention::SoftmaxName(softmax));
}

void Write(AtomicFile& file, const CodecChoice& choice, const Digest& model,
           const model::ModelConfig& config) {
  const std::string json = WriteChoice(choice, model, config);
  file.Write(json.data(), json.size());
  file.Commit();
}

// The cache only saves time: one that cannot be used counts as missing.
std::optional<CodecChoice> ReadCache(const std::string& path, const Digest& model,
                                     const model::ModelConfig& config) {
  std::error_code error;
  if (path.empty() || !std::filesystem::is_regular_file(path, error)) return std::nullopt;
  try {
    return ReadChoice(ReadBounded(path), path, model, config);
  } catch (const Error& unusable) {
    spdlog::warn("--kv auto: {}; it is made anew", unusable.what());
    return std::nullopt;
  }
}

void WriteCache(const std::string& path, const CodecChoice& choice, const Digest& model,
                const model::ModelConfig& config) {
  if (path.empty()) return;
  try {
    std::error_code ignored;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
    AtomicFile file(path);
    Write(file, choice, model, config);
  } catch (const Error& error) {
    spdlog::warn("--kv auto: the choice is not kept for the next time: {}", error.what());
  }
}

void Report(const CodecChoice& choice, const model::ModelConfig& config, const std::string& how) {
  const kv::BlockLayout layout = choice.Layout(config);
  const double bytes = BytesPerToken(layout);
  spdlog::info(
      "--kv auto: KL {:.3g} (p99 {:.3g}), on held-out text {:.3g} (p99 {:.3g}), target {:g} (p99 {:g}): "
      "{:.0f} "
      "bytes per token, {:.2f} times smaller than f16{}; {}",
      choice.kl.mean, choice.kl.p99, choice.held_out.mean, choice.held_out.p99, choice.target.mean,
      choice.target.p99, bytes, F16BytesPerToken(layout) / bytes,
      layout.window == kv::FineWindow{}
          ? ""
          : fmt::format(", and {} bytes a sequence for pages in int8", WindowBytes(layout)),
      how);
  if (choice.kl.Meets(choice.target) && choice.held_out.Meets(choice.target)) return;
  spdlog::warn("--kv auto: no codec meets the target on both texts, not even f32, which is used");
}

// What a choice is searched on, and what it is proved on.
struct Texts {
  std::vector<int32_t> searched;
  std::vector<int32_t> held_out;
};

// The halves of the user's text.
Texts SplitText(const std::string& path, const std::string& text, const Encoder& encode) {
  size_t middle = text.find_first_of(" \n", text.size() / 2);
  if (middle == std::string::npos) middle = text.size();
  Texts halves{encode(std::string_view(text).substr(0, middle)),
               encode(std::string_view(text).substr(middle))};
  if (std::min(halves.searched.size(), halves.held_out.size()) < KvProbe::kLeastTokens) {
    throw MakeError(ErrorCode::kInvalid,
                    "--calibration {}: its halves have {} and {} tokens, but --kv auto takes at least {} to "
                    "search codecs on, and as many to prove them on",
                    path, halves.searched.size(), halves.held_out.size(), KvProbe::kLeastTokens);
  }
  return halves;
}

// Each text must have positions that see pages beyond the window.
size_t MostTokens(const kv::FineWindow& window, const Texts& texts, const model::ModelConfig& config) {
  const auto fine = static_cast<size_t>(window.sink_blocks + window.recent_blocks) * kv::kPageTokens;
  const size_t least = fine + KvProbe::kLeastTokens;
  const size_t shortest =
      std::min({texts.searched.size(), texts.held_out.size(), static_cast<size_t>(config.context_length)});
  if (fine > 0 && shortest < least) {
    throw MakeError(
        ErrorCode::kInvalid,
        "codec {}: pages of {} tokens are in int8, so each half of the calibration text (--calibration) "
        "and the model's context need at least {} tokens; one has {}",
        kAuto, fine, least, shortest);
  }
  return std::max(KvProbe::kMostTokens, 4 * fine);
}

CodecChoice Search(CodecChoice choice, const AutoSpec& spec, const CodecOptions& options,
                   const std::string& text, const Digest& model, model::Transformer& transformer,
                   const Encoder& encode, ThreadPool& threads) {
  const model::ModelConfig& config = transformer.Config();
  const auto begin = std::chrono::steady_clock::now();
  const std::string path = CachePath(choice, spec, transformer.WeightsDigest());
  if (std::optional<CodecChoice> cached = ReadCache(path, model, config)) {
    Report(*cached, config, "found in " + path);
    return *std::move(cached);
  }
  const Texts texts = options.calibration.empty() ? Texts{encode(CalibrationText()), encode(HeldOutText())}
                                                  : SplitText(options.calibration, text, encode);
  const size_t most = MostTokens(spec.window, texts, config);
  KvProbe probe(transformer, texts.searched, choice.softmax, threads, most);
  KvProbe held_out(transformer, texts.held_out, choice.softmax, threads, std::max(most, kMostHeldOutTokens));
  SearchOptions search{.target = spec.target, .bias = spec.bias, .window = spec.window};
  if (spec.bias == kv::KeyBias::kMean) {
    choice.key_means = MeasureKeyMeans(transformer, texts.searched, choice.softmax, threads);
    search.means = choice.key_means;
  }
  if (std::ranges::any_of(config.cache_layers, [](const auto& shape) { return shape.num_kv_heads > 1; })) {
    search.priorities =
        RankHeads(transformer, texts.searched, choice.softmax, threads, spec.bias, choice.key_means);
  }
  FoundCodecs found = SearchCodecs(probe, held_out, search);
  choice.layers = std::move(found.layers);
  choice.kl = found.kl;
  choice.held_out = found.held_out;
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  Report(choice, config,
         fmt::format("{} passes over {} tokens and {} over {} held-out ones, {} corrections, {:.1f} s",
                     probe.NumPasses(), probe.NumTokens(), held_out.NumPasses(), held_out.NumTokens(),
                     found.corrections, seconds.count()));
  WriteCache(path, choice, model, config);
  return choice;
}

// Gives the heads of flashq-mixed their bits.
CodecChoice Mixed(CodecChoice choice, const std::string& text, model::Transformer& transformer,
                  const Encoder& encode, ThreadPool& threads) {
  choice.priorities = RankHeads(transformer, encode(text), choice.softmax, threads,
                                kv::SplitKeyBias(choice.layers.front().k).bias, choice.key_means);
  for (size_t layer = 0; layer < choice.layers.size(); ++layer) {
    kv::LayerCodecs& codecs = choice.layers[layer];
    if (kv::LacksHeadBits(codecs.k)) codecs.k = MixedCodec(codecs.k, choice.priorities.keys[layer]);
    if (kv::LacksHeadBits(codecs.v)) codecs.v = MixedCodec(codecs.v, choice.priorities.values[layer]);
  }
  return choice;
}

CodecChoice Choose(const CodecOptions& options, model::Transformer& transformer, const Encoder& encode,
                   ThreadPool& threads) {
  const model::ModelConfig& config = transformer.Config();
  const kv::CodecFlags& flags = options.flags;
  if (!options.stored.empty()) {
    return ReadChoice(options.stored, options.stored_in, ModelOf(options, transformer), config);
  }
  Check(options);
  if (IsFile(flags.kv)) {
    CodecChoice choice = ReadChoice(ReadBounded(flags.kv), flags.kv, ModelOf(options, transformer), config);
    CheckSoftmax(choice, options.softmax, flags.kv);
    return choice;
  }
  CodecChoice choice;
  choice.layers = kv::LayersOf(flags, config.cache_layers);
  if (IsPlain(flags)) {
    choice.Layout(config);  // refuses what does not exist
    return choice;
  }
  const std::string text =
      options.calibration.empty() ? std::string(CalibrationText()) : ReadBounded(options.calibration);
  choice.text = DigestOf(text);
  choice.softmax = options.softmax;
  if (IsAuto(flags.kv)) {
    const AutoSpec spec = ParseAuto(flags.kv);
    choice.target = spec.target;
    return Search(std::move(choice), spec, options, text, ModelOf(options, transformer), transformer, encode,
                  threads);
  }
  const auto some_bits = [](const std::string& spec) {
    return kv::LacksHeadBits(spec) ? kv::WithHeadBits(spec, "24") : spec;
  };
  // Fail before the model runs.
  kv::MakeLayout({.k = some_bits(kv::SplitKeyBias(flags.Keys()).codec), .v = some_bits(flags.Values())},
                 config.cache_layers);
  if (NeedsMeans(flags.Keys())) {
    choice.key_means = MeasureKeyMeans(transformer, encode(text), choice.softmax, threads);
  }
  if (!kv::LacksHeadBits(flags.Keys()) && !kv::LacksHeadBits(flags.Values())) {
    choice.Layout(config);  // refuses what does not exist
    return choice;
  }
  return Mixed(std::move(choice), text, transformer, encode, threads);
}

}  // namespace

std::string CodecHelp() {
  return "  NAME[:KEY=VALUE,...]  " + kv::CodecNames() +
         "\n"
         "  flashq-mixed          flashq2 for the half of each layer's heads that bears it best, flashq4 for "
         "the "
         "others\n"
         "  ...:bias=mean|off     any of these: keys are stored without their mean over a text, which "
         "attention adds; "
         "or whole. Without bias=, they lack the bias of the model's key projection where it stands out\n"
         "  ...:sink=N,recent=N   any but f32, f16, int8 and fp8: each token sees the first N tokens and the "
         "last "
         "N before its page in int8, and those between in the codec: kivi4:sink=64,recent=256\n"
         "  .../...               one for each KV head of a layer, repeated: rot4/kivi2\n"
         "  auto[:kl=X,p99=Y]     the fewest bytes, head by head, with a divergence from f32 of at most X "
         "(0.01) on "
         "average and Y at its 99th percentile, on held-out text too; probes the model once\n"
         "  FILE.json             a choice that --kv-out wrote\n"
         "  f16 is the default. int8 answers like it in half the bytes; the recommended smaller cache is "
         "flashq4:sink=64, in a quarter\n";
}

bool IsPlain(const kv::CodecFlags& flags) {
  return !IsAuto(flags.kv) && !IsFile(flags.kv) && !kv::LacksHeadBits(flags.Keys()) &&
         !kv::LacksHeadBits(flags.Values()) && !NeedsMeans(flags.Keys());
}

CodecChoice ChooseCodecs(const CodecOptions& options, model::Transformer& transformer, const Encoder& encode,
                         ThreadPool& threads) {
  // Opened before the costly work, so that a file that cannot be written fails at once.
  std::unique_ptr<AtomicFile> out;
  if (!options.out.empty()) out = std::make_unique<AtomicFile>(options.out);
  const CodecChoice choice = Choose(options, transformer, encode, threads);
  if (out != nullptr) Write(*out, choice, ModelOf(options, transformer), transformer.Config());
  return choice;
}

}  // namespace throng::engine
