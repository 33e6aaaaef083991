// `throng logits`: what a model computes for given tokens, for comparison with other implementations and
// codecs.

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "base/thread_pool.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/local_flags.h"
#include "engine/local_model.h"
#include "kv/cache/block_pool.h"
#include "kv/cache/sequence_cache.h"
#include "model/config.h"
#include "model/folder/folder.h"
#include "model/gguf/gguf.h"
#include "model/tokenizer/tokenizer.h"
#include "model/transformer.h"

namespace throng::cli {
namespace {

struct LogitsFlags {
  std::string model;
  std::string tokens;
  std::string output;
  engine::LocalOptions codecs;  // only those of AddCodecFlags are used
  int threads = 0;
  int chunk = 512;
  std::string activations = "f32";
};

std::vector<int32_t> ReadTokens(const std::string& path) {
  const std::string text = ReadFile(path);
  std::vector<int32_t> tokens;
  const char* p = text.data();
  const char* const end = p + text.size();
  for (;;) {
    p = std::find_if(p, end, [](unsigned char c) { return !std::isspace(c); });
    if (p == end) break;
    int32_t token = 0;
    const auto [after, error] = std::from_chars(p, end, token);
    if (error != std::errc() || (after != end && !std::isspace(static_cast<unsigned char>(*after)))) {
      throw MakeError(ErrorCode::kInvalid,
                      "{}: at byte {}: token ids are whole numbers, separated by white space", path,
                      p - text.data());
    }
    tokens.push_back(token);
    p = after;
  }
  if (tokens.empty()) throw MakeError(ErrorCode::kInvalid, "{}: holds no token ids", path);
  return tokens;
}

void RunLogits(const LogitsFlags& flags) {
  const std::vector<int32_t> tokens = ReadTokens(flags.tokens);
  const std::unique_ptr<model::GgufFile> opened = model::OpenModel(flags.model);
  const model::GgufFile& file = *opened;
  const auto transformer = model::LoadTransformer(file, {.exact_activations = flags.activations == "f32"});
  const model::ModelConfig& config = transformer->Config();
  const int count = static_cast<int>(tokens.size());
  if (tokens.size() > static_cast<size_t>(config.context_length)) {
    throw MakeError(ErrorCode::kInvalid, "{}: holds {} tokens; the model's context is {}", flags.tokens,
                    tokens.size(), config.context_length);
  }
  // No budget: there is one sequence, and its length is known.
  ThreadPool threads(ThreadsOrAll(flags.threads));
  // Reads the vocabulary only if there is a text.
  const auto encode = [&](std::string_view text) { return model::Tokenizer(file).EncodePrompt(text); };
  engine::CodecOptions options = engine::CodecsOf(flags.codecs);
  // A codec choice for generate and run applies to this model too.
  if (!engine::IsPlain(options.flags)) options.model = model::LoadTransformer(file)->WeightsDigest();
  const engine::CodecChoice codecs = engine::ChooseCodecs(options, *transformer, encode, threads);
  kv::BlockPool pool(codecs.Layout(config), std::numeric_limits<size_t>::max() / 2, options.softmax);
  kv::SequenceCache cache(pool);

  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(std::fopen(flags.output.c_str(), "wb"),
                                                            std::fclose);
  if (!out) throw MakeError(ErrorCode::kIo, "{}: cannot be written", flags.output);
  std::vector<float> logits(static_cast<size_t>(std::min(flags.chunk, count)) * config.vocab_size);
  for (int first = 0; first < count; first += flags.chunk) {
    const int n = std::min(flags.chunk, count - first);
    if (!cache.Reserve(n))
      throw MakeError(ErrorCode::kExhausted, "the cache has no room for {} tokens", first + n);
    const model::BatchItem item{std::span(tokens).subspan(first, n), &cache, n};
    transformer->Forward({&item, 1}, threads, logits.data());
    const size_t floats = static_cast<size_t>(n) * config.vocab_size;
    if (std::fwrite(logits.data(), sizeof(float), floats, out.get()) != floats) {
      throw MakeError(ErrorCode::kIo, "{}: cannot be written", flags.output);
    }
  }
  if (std::fflush(out.get()) != 0) throw MakeError(ErrorCode::kIo, "{}: cannot be written", flags.output);
  spdlog::info("{}: float32 [{}, {}]", flags.output, count, config.vocab_size);
}

}  // namespace

void AddLogits(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("logits", "Write the logits of a model at every position of some tokens");
  const auto flags = std::make_shared<LogitsFlags>();
  flags->codecs.kv = "f32";
  command->add_option("-m,--model", flags->model, "GGUF file or folder of safetensors")->required();
  command->add_option("--tokens", flags->tokens, "Text file of token ids, separated by white space")
      ->required();
  command
      ->add_option("-o,--output", flags->output,
                   "File for the logits: float32, little-endian, [tokens, vocabulary]")
      ->required();
  AddCodecFlags(*command, flags->codecs, "Options");
  command->add_option("--threads", flags->threads, "Threads (0: one per core)")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command->add_option("--chunk", flags->chunk, "Tokens per forward pass; does not change a bit of the result")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command
      ->add_option(
          "--activations", flags->activations,
          "What weights are multiplied with: f32, to compare with other implementations, or int8 (BF16 for "
          "weights in BF16, f32 for F16 and F32), as generate and run do (fast)")
      ->check(CLI::IsMember({"f32", "int8"}))
      ->capture_default_str();
  command->footer("Example:\n  throng logits -m model.gguf --tokens tokens.txt -o logits.f32 --kv int8");
  command->callback([flags] { RunLogits(*flags); });
}

}  // namespace throng::cli
