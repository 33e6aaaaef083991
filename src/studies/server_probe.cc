#include "studies/server_probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <span>
#include <vector>

#include "base/error.h"
#include "llm/backends/http.h"
#include "studies/pass_times.h"
#include "trace/filler_words.h"

namespace throng::studies {
namespace {

// Whole requests to a server, with prompts that it has not had.
class ServerRequests {
 public:
  ServerRequests(llm::HttpLlm& server, const trace::FillerWords& words)
      : server_(server), words_(words), nonce_(std::random_device()()) {}

  // As TimeRequests.
  double Ms(std::span<const int> prompts, int more) {
    std::vector<llm::Request> asked;
    for (const int prompt : prompts) {
      llm::Request& request = asked.emplace_back();
      request.id = ++last_id_;
      request.key.agent = static_cast<uint32_t>(last_id_);
      request.function = "probe";
      request.prompt = words_.Text(prompt, 0, nonce_, last_id_);
      request.max_tokens = request.known_output_tokens = more + 1;
    }
    const auto begin = std::chrono::steady_clock::now();
    for (llm::Request& request : asked) server_.Submit(std::move(request));
    std::vector<llm::Completion> done;
    while (done.size() < asked.size()) server_.Wait(done);
    const std::chrono::duration<double, std::milli> ms = std::chrono::steady_clock::now() - begin;
    for (const llm::Completion& completion : done) {
      if (completion.error && completion.error->Code() != ErrorCode::kBadAnswer) throw *completion.error;
      if (completion.output_tokens == more + 1) continue;
      throw MakeError(
          ErrorCode::kUnsupported,
          "{}: asked for {} tokens whatever they are (ignore_eos), it made {}: its times say nothing",
          server_.Identity(), more + 1, completion.output_tokens);
    }
    return ms.count();
  }

 private:
  llm::HttpLlm& server_;
  const trace::FillerWords& words_;
  uint64_t nonce_;
  uint64_t last_id_ = 0;
};

std::vector<int> UpTo(std::initializer_list<int> numbers, int least, int most) {
  std::vector<int> kept;
  for (const int number : numbers) {
    if (number > least && number <= most) kept.push_back(number);
  }
  return kept;
}

}  // namespace

nlohmann::ordered_json ProbeServer(const ProbeFlags& flags) {
  llm::HttpOptions options = llm::HttpOptions::Parse(flags.url);
  options.adapts = false;
  llm::HttpLlm server(options);
  flags.on_progress("learning how the server counts tokens");
  const trace::FillerWords words(server);
  PassPlan plan;
  plan.near = std::max(plan.near, words.LeastTokens() + 8 * words.TokensPerWord());
  plan.far = std::max(plan.near, std::min(plan.far, flags.longest_prompt));
  plan.longest = flags.longest_prompt;
  plan.chunk = flags.chunk;
  plan.batches = UpTo({1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128}, 0, flags.batch);
  plan.prompts = UpTo({192, 256, 384, 512, 768, 1024, 1536, 2048, 4096, 8192},
                      std::max(plan.batches.back(), plan.near), std::min(flags.longest_prompt, flags.chunk));
  ServerRequests requests(server, words);
  const PassFit fit =
      FitPasses([&](std::span<const int> prompts, int more) { return requests.Ms(prompts, more); }, plan,
                /*has_request_ms=*/true,
                [&](const char* what, int n) { flags.on_progress(fmt::format("{} {}", n, what)); });
  nlohmann::ordered_json passes = nlohmann::ordered_json::array();
  for (const llm::PassTime& pass : fit.times) passes.push_back({pass.tokens, pass.ms});
  return {{"server", options.Address()},
          {"latency",
           fmt::format(
               "pass_ms={},kv_us={:.4f},attend_us={:.4g},overhead_ms=0,request_ms={:.4g},chunk={},batch={},"
               "kv_tokens={},mixed={}",
               llm::PassTimesText(fit.times), fit.kv_us, fit.attend_us, fit.request_ms, flags.chunk,
               flags.batch, flags.kv_tokens, flags.mixed ? 1 : 0)},
          {"tokens_per_word", words.TokensPerWord()},
          {"request_ms", fit.request_ms},
          {"kv_us", fit.kv_us},
          {"attend_us", fit.attend_us},
          {"passes", passes}};
}

}  // namespace throng::studies
