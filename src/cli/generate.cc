// throng generate: continues one prompt with a model in this process.

#include <fmt/format.h>

#include <cstdio>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "cli/cli11.h"
#include "cli/commands.h"
#include "cli/flags/local_flags.h"
#include "cli/flags/number_checks.h"
#include "cli/stdout.h"
#include "engine/local_model.h"

namespace throng::cli {
namespace {

struct Options {
  engine::LocalOptions local;
  std::string prompt;
  std::string prompt_file;
  std::string system;
  bool chat = false;
  int max_tokens = 128;
  llm::Sampling sampling;
  std::vector<std::string> choices;
  std::string schema_file;
  std::vector<std::string> stop;
  std::string save_cache;
  std::string load_cache;
  bool quiet = false;
};

engine::EngineRequest MakeRequest(const Options& options, engine::LocalModel& model) {
  std::shared_ptr<const kv::SavedPages> start;
  if (!options.load_cache.empty()) {
    start =
        std::make_shared<kv::SavedPages>(kv::LoadPages(options.load_cache, model.Source(), model.Blocks()));
  }
  const std::string prompt = options.prompt_file.empty() ? options.prompt : ReadFile(options.prompt_file);
  engine::TextRequest text;
  if (options.chat) {
    model::ChatInput chat = engine::ChatOf(options.system, prompt);
    chat.now = model::LocalNow();
    text.prompt = std::move(chat);
  } else if (prompt.empty() && start != nullptr) {
    text.prompt = start->tokens;
  } else {
    text.prompt = prompt;
  }
  text.max_tokens = options.max_tokens;
  text.sampling = options.sampling;
  text.stop = options.stop;
  text.constraint.choices = options.choices;
  if (!options.schema_file.empty()) text.constraint.json_schema = ReadFile(options.schema_file);

  engine::EngineRequest request = model.MakeRequest(std::move(text));
  request.start = std::move(start);
  request.keep_pages = !options.save_cache.empty();
  return request;
}

void PrintSummary(const engine::EngineResult& result, const engine::LocalModel& model,
                  const std::string& load_cache) {
  const auto rate = [](int tokens, double seconds) { return seconds > 0 ? tokens / seconds : 0; };
  const auto answer_tokens = static_cast<int>(result.tokens.size());
  const double prompt_seconds = result.first_token_seconds - result.queue_seconds;
  const double answer_seconds = result.total_seconds - result.first_token_seconds;
  const engine::LocalOptions& options = model.Options();
  const std::string& keys = options.keys.empty() ? options.kv : options.keys;
  const std::string& values = options.values.empty() ? options.kv : options.values;
  fmt::print(stderr, "prompt: {} tokens, {} of them from {}, {:.3f} s, {:.1f} tokens/s\n",
             result.prompt_tokens, result.cached_prompt_tokens,
             load_cache.empty() ? "the prefix cache" : load_cache, prompt_seconds,
             rate(result.prompt_tokens - result.cached_prompt_tokens, prompt_seconds));
  // The first token of the answer comes from the prompt's last forward pass.
  fmt::print(stderr, "answer: {} tokens, {:.3f} s, {:.1f} tokens/s, ended by {}\n", answer_tokens,
             answer_seconds, rate(answer_tokens - 1, answer_seconds),
             result.finish == llm::FinishReason::kLength ? "the token limit"
                                                         : "the model, a stop string or a constraint");
  std::string beyond;
  if (model.KvSlidingBytesPerToken() > 0)
    beyond +=
        fmt::format(", {:.0f} bytes as long as a window sees the token", model.KvSlidingBytesPerToken());
  if (model.KvWindowBytes() > 0)
    beyond += fmt::format(", {} bytes for the pages in int8", model.KvWindowBytes());
  if (model.KvStateBytes() > 0)
    beyond += fmt::format(", {} bytes for the recurrent state", model.KvStateBytes());
  fmt::print(stderr,
             "KV cache: {}, {:.0f} bytes per token in sealed blocks, {:.2f} times smaller than f16{}\n",
             keys == values ? keys : keys + " keys, " + values + " values", model.KvBytesPerToken(),
             model.F16BytesPerToken() / model.KvBytesPerToken(), beyond);
}

void Run(const Options& options) {
  // Fail now, not at the end, if the file cannot be written.
  if (!options.save_cache.empty()) AtomicFile probe(options.save_cache);
  engine::LocalModel model(options.local);
  engine::EngineRequest request = MakeRequest(options, model);
  // Written just before the first text of the answer, so a refused request writes nothing.
  std::string echo;
  if (!options.chat) {
    for (const int32_t token : request.prompt) echo += model.Loaded().tokenizer->TokenBytes(token);
  }
  // The engine's thread writes the text to stdout; write errors are reported here.
  std::exception_ptr write_error;
  const auto done = std::make_shared<std::promise<engine::EngineResult>>();
  request.on_text = [&](uint64_t id, std::string_view text) {
    if (write_error) return;
    try {
      WriteStdout(std::exchange(echo, {}));
      WriteStdout(text);
    } catch (const Error&) {
      write_error = std::current_exception();
      model.Cancel(id);
    }
  };
  request.on_done = [done](engine::EngineResult result) { done->set_value(std::move(result)); };
  model.Submit(std::move(request));
  const engine::EngineResult result = done->get_future().get();
  if (write_error) std::rethrow_exception(write_error);
  if (result.error) throw *result.error;
  WriteStdout(echo + "\n");
  WarnOfEmbeddedModel(options.local);
  if (result.pages != nullptr) {
    kv::SavePages(options.save_cache, model.Source(), result.pages->tokens, result.pages->cache);
  }
  if (!options.quiet) PrintSummary(result, model, options.load_cache);
}

void AddSamplingFlags(CLI::App& command, llm::Sampling& sampling) {
  constexpr const char* kGroup = "Sampling";
  command.add_option("--temp", sampling.temperature, "Temperature; 0: always the most likely token")
      ->group(kGroup)
      ->capture_default_str();
  command.add_option("--top-k", sampling.top_k, "Only the k most likely tokens; 0: all")
      ->group(kGroup)
      ->capture_default_str();
  command
      .add_option("--top-p", sampling.top_p,
                  "Only the most likely tokens that reach this probability together")
      ->group(kGroup)
      ->capture_default_str();
  command
      .add_option("--min-p", sampling.min_p,
                  "Only tokens at least this likely, relative to the most likely one")
      ->group(kGroup)
      ->capture_default_str();
  command
      .add_option("--repeat-penalty", sampling.repetition_penalty,
                  "Weakens tokens that occurred; 1: does not")
      ->group(kGroup)
      ->capture_default_str();
  command.add_option("--seed", sampling.seed, "The same seed gives the same text")
      ->group(kGroup)
      ->capture_default_str()
      ->check(Whole());
}

}  // namespace

void AddGenerate(CLI::App& app) {
  CLI::App* command = app.add_subcommand("generate", "Continue a prompt with a model in this process");
  const auto options = std::make_shared<Options>();
  AddLocalFlags(*command, options->local);
  auto* prompt = command->add_option("-p,--prompt", options->prompt, "The text to continue");
  command->add_option("-f,--prompt-file", options->prompt_file, "A file with the text to continue")
      ->excludes(prompt);
  command->add_option("-n,--max-tokens", options->max_tokens, "Most tokens of the answer")
      ->check(CLI::Range(1, 100000000))
      ->capture_default_str();
  auto* chat = command->add_flag(
      "--chat", options->chat,
      "The prompt is a user's message in the model's chat format; only the answer is written");
  command->add_option("--system", options->system, "System message of the chat")->needs(chat);
  command->add_option("--stop", options->stop, "Text before which the answer ends; may be repeated")
      ->allow_extra_args(false);
  auto* choices =
      command->add_option("--choices", options->choices, "The answer is one of these: a,b,c")->delimiter(',');
  command->add_option("--schema", options->schema_file, "File with a JSON schema that the answer fits")
      ->excludes(choices);
  command->add_option("--save-cache", options->save_cache,
                      "File for the KV pages of prompt and answer, to go on from later");
  command->add_option(
      "--load-cache", options->load_cache,
      "File of --save-cache, with the same model, codec and softmax: tokens with which the "
      "prompt begins as that text did are not computed again; without a prompt, the text goes "
      "on");
  command->add_flag("-q,--quiet", options->quiet, "No summary on standard error");
  AddSamplingFlags(*command, options->sampling);
  command->footer(
      "Writes the prompt and its continuation to standard output as they come, and a summary to standard "
      "error.\n"
      "Example:\n"
      "  throng generate -m model.gguf -p \"Once upon a time\" -n 200 --temp 0 --kv int8\n"
      "  throng generate -m model.gguf -p \"Once upon a time\" --kv kivi4:sink=64,recent=256\n"
      "  throng generate -m model.gguf -p \"Once upon a time\" --save-cache tale.kv\n"
      "  throng generate -m model.gguf --load-cache tale.kv");
  command->callback([options] {
    const bool has_prompt = !options->prompt.empty() || !options->prompt_file.empty();
    if (!has_prompt && (options->load_cache.empty() || options->chat)) {
      throw MakeError(ErrorCode::kInvalid, "generate: no prompt is given, use --prompt or --prompt-file");
    }
    Run(*options);
  });
}

}  // namespace throng::cli
