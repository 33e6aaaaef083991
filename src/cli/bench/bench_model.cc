#include "cli/bench/bench_model.h"

#include <fmt/ranges.h>

#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "bench/model_speed.h"
#include "bench/random_model.h"
#include "cli/flags/codec_lists.h"
#include "cli/flags/number_checks.h"
#include "engine/loaded_model.h"
#include "engine/local_model.h"
#include "kv/codec_table.h"
#include "kv/layer_codecs.h"
#include "model/config.h"
#include "model/folder/folder.h"

namespace throng::cli {

CLI::Validator ShapeName() {
  CLI::Validator validator = CLI::IsMember(bench::ShapeNames());
  validator.description("SHAPE");
  return validator;
}

CLI::Option* AddBenchModelFlags(CLI::App& command, BenchModelFlags& flags) {
  CLI::Option* file = command.add_option("-m,--model", flags.model,
                                         "GGUF file or folder of safetensors; default: the embedded model");
  CLI::Option* shape = command
                           .add_option("--shape", flags.shape,
                                       fmt::format("Random weights in the shape of a known model instead: {}",
                                                   fmt::join(bench::ShapeNames(), ", ")))
                           ->check(ShapeName())
                           ->excludes(file);
  command.add_option("--weights", flags.weights, "Type of the random weights: q8_0, q4_k, ...")
      ->capture_default_str();
  command
      .add_option("--device", flags.device,
                  "What computes: cpu, or cuda, cuda:N or cuda:N:SIZE, a GPU of NVIDIA")
      ->capture_default_str();
  command.add_option("--kv", flags.kv, "Codecs of the KV cache, a,b,...: " + kv::CodecNames())
      ->capture_default_str();
  command.add_option("--softmax", flags.softmax, "exact, or sas: an approximation")
      ->check(CLI::IsMember({"exact", "sas"}))
      ->capture_default_str();
  command
      .add_option("--kv-budget", flags.kv_budget,
                  "Most bytes of all caches, such as 8GB; default: half of the device's free memory")
      ->transform(Bytes());
  command
      .add_option("--repack", flags.repack,
                  "on: copy the weights for speed; off: read them where they are; auto: on if half of the "
                  "free memory has room")
      ->check(CLI::IsMember({"auto", "on", "off"}))
      ->capture_default_str();
  command.add_option("--threads", flags.threads, "Threads (0: one per core)")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  return shape;
}

BenchModel LoadBenchModel(const BenchModelFlags& flags) {
  BenchModel model;
  if (flags.shape.empty()) {
    model.file = model::OpenModel(flags.model.empty() ? engine::EmbeddedModelPath() : flags.model);
  } else {
    spdlog::info("making random weights of {} in {}", flags.shape, flags.weights);
    std::optional<model::GgufFile> vocabulary;
    if (!flags.vocabulary.empty()) vocabulary.emplace(flags.vocabulary);
    model.bytes = bench::RandomModel(flags.shape, bench::ParseWeights(flags.weights),
                                     vocabulary ? &*vocabulary : nullptr);
    model.file = std::make_unique<model::GgufFile>(model.bytes, flags.shape);
  }
  model.transformer = engine::LoadTransformer(*model.file, flags.device, flags.repack, flags.kv_budget);
  return model;
}

uint64_t KvBudget(const BenchModelFlags& flags, const BenchModel& model) {
  return flags.kv_budget > 0 ? flags.kv_budget : engine::DefaultKvBudget(*model.transformer);
}

std::vector<std::string> BenchCodecs(const BenchModelFlags& flags, const BenchModel& model) {
  std::vector<std::string> codecs = SplitCodecs(flags.kv);
  if (codecs.empty()) throw MakeError(ErrorCode::kInvalid, "bench: --kv names no codec");
  for (const std::string& codec : codecs) {
    kv::MakeLayout(kv::CodecFlags{.kv = codec}, model.transformer->Config().cache_layers);
  }
  return codecs;
}

void CheckWholePages(int tokens, const char* flag) {
  if (tokens % kv::kPageTokens == 0) return;
  throw MakeError(ErrorCode::kInvalid, "bench: {} {} is no multiple of {}, the tokens of a page", flag,
                  tokens, kv::kPageTokens);
}

void CheckContext(int tokens, int depth, const BenchModel& model) {
  const int context = model.transformer->Config().context_length;
  if (depth + tokens <= context) return;
  throw MakeError(ErrorCode::kInvalid, "bench: {} tokens at depth {} are more than the model's context of {}",
                  tokens, depth, context);
}

}  // namespace throng::cli
