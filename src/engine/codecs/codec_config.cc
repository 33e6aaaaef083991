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
// Another search gives other choices: a new version voids those in the cache.
constexpr int kSearchVersion = 2;
constexpr uintmax_t kMostFileBytes = 4 << 20;

bool IsAuto(std::string_view spec) { return spec.substr(0, spec.find(':')) == kAuto; }
bool IsFile(std::string_view spec) { return spec.ends_with(".json"); }
bool NeedsMeans(std::string_view spec) { return kv::SplitKeyBias(spec).bias == kv::KeyBias::kMean; }

double Target(std::string_view spec) {
  const std::string without_bias = kv::SplitKeyBias(spec).codec;
  KeyValues parameters(fmt::format("codec {}", kAuto), SplitName(without_bias).values);
  const double target = parameters.Fraction("kl", kDefaultTarget, 1e-6, 10.0);
  parameters.CheckAllUsed();
  return target;
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
std::string CachePath(const CodecChoice& choice, kv::KeyBias bias, const Digest& transformer) {
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
                         .Add(choice.kl_target)
                         .Add(static_cast<int>(bias))
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
  spdlog::info("--kv auto: KL {:.3g}, target {:g}: {:.0f} bytes per token, {:.2f} times smaller than f16; {}",
               choice.kl, choice.kl_target, bytes, F16BytesPerToken(layout) / bytes, how);
}

CodecChoice Search(CodecChoice choice, kv::KeyBias bias, const std::string& text, const Digest& model,
                   model::Transformer& transformer, const Encoder& encode, ThreadPool& threads) {
  const model::ModelConfig& config = transformer.Config();
  const auto begin = std::chrono::steady_clock::now();
  const std::string path = CachePath(choice, bias, transformer.WeightsDigest());
  if (std::optional<CodecChoice> cached = ReadCache(path, model, config)) {
    Report(*cached, config, "found in " + path);
    return *std::move(cached);
  }
  const std::vector<int32_t> tokens = encode(text);
  KvProbe probe(transformer, tokens, choice.softmax, threads);
  if (bias == kv::KeyBias::kMean) {
    choice.key_means = MeasureKeyMeans(transformer, tokens, choice.softmax, threads);
  }
  if (std::ranges::any_of(config.cache_layers, [](const auto& shape) { return shape.num_kv_heads > 1; })) {
    choice.priorities = RankHeads(transformer, tokens, choice.softmax, threads, bias, choice.key_means);
  }
  FoundCodecs found = SearchCodecs(probe, choice.priorities, choice.kl_target, bias, choice.key_means);
  choice.layers = std::move(found.layers);
  choice.kl = found.kl;
  const bool mixed = std::any_of(
      choice.layers.begin(), choice.layers.end(),
      [](const kv::LayerCodecs& layer) { return kv::IsFlashqMixed(layer.k) || kv::IsFlashqMixed(layer.v); });
  if (!mixed) choice.priorities = {};
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  Report(choice, config,
         fmt::format("{} passes over {} tokens, {:.1f} s", probe.NumPasses(), probe.NumTokens(),
                     seconds.count()));
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
    choice.kl_target = Target(flags.kv);
    return Search(std::move(choice), kv::SplitKeyBias(flags.kv).bias, text, ModelOf(options, transformer),
                  transformer, encode, threads);
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
         "  auto[:kl=0.01]        the fewest bytes, layer by layer, with a mean divergence from f32 of at "
         "most "
         "that; probes the model once\n"
         "  FILE.json             a choice that --kv-out wrote\n";
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
