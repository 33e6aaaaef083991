#include "trace/server_check.h"

#include <memory>
#include <random>
#include <vector>

#include "base/error.h"
#include "llm/backends/backend_spec.h"
#include "trace/filler_llm.h"
#include "trace/trace_world.h"

namespace throng::trace {
namespace {

struct Located {
  TraceCall call{"", 0, 0};
  sim::AgentId agent = 0;
  sim::Step step = 0;

  int Tokens() const { return call.prompt_tokens + call.output_tokens; }
};

Located LongestCall(const Trace& trace, sim::Step steps) {
  Located longest;
  const auto consider = [&](const TraceCall& call, sim::AgentId agent, sim::Step step) {
    if (call.prompt_tokens + call.output_tokens > longest.Tokens()) longest = {call, agent, step};
  };
  for (sim::AgentId agent = 0; agent < trace.agents.size(); ++agent) {
    for (const TraceChain& chain : trace.agents[agent].chains) {
      if (chain.step >= steps) break;
      for (const TraceCall& call : chain.calls) consider(call, agent, chain.step);
    }
  }
  for (const TraceConversation& conversation : trace.conversations) {
    if (conversation.step >= steps) break;
    for (const auto& [speaker, call] : conversation.turns) consider(call, speaker, conversation.step);
  }
  return longest;
}

}  // namespace

ServerCheck CheckServer(const std::string& llm, const Trace& trace, sim::Step steps,
                        const std::function<void(const std::string&)>& on_progress) {
  const std::unique_ptr<llm::Llm> backend = llm::MakeBackend(llm);
  on_progress("learning how the server counts tokens");
  ServerCheck check{FillerWords(*backend)};
  const Located longest = LongestCall(trace, steps == 0 ? trace.num_steps : steps);
  if (longest.Tokens() == 0) return check;
  on_progress("asking for the longest call");
  FillerLlm filler(std::make_unique<llm::Decorator>(*backend), check.words,
                   {.nonce = std::random_device()()});
  llm::Request request = RequestOf(longest.call);
  request.id = 1;
  request.key = {longest.agent, longest.step, 0};
  filler.Submit(std::move(request));
  std::vector<llm::Completion> done;
  while (done.empty()) filler.Wait(done);
  const llm::Completion& answer = done[0];
  check.longest_prompt = longest.call.prompt_tokens;
  check.longest_output = longest.call.output_tokens;
  check.counted_prompt = answer.prompt_tokens;
  check.counted_output = answer.output_tokens;
  const bool is_short = filler.Differences().cut > 0;
  if (is_short || (answer.error && answer.error->Code() == ErrorCode::kExhausted)) {
    throw MakeError(ErrorCode::kExhausted,
                    "{}: the longest call ({} of {} in step {}: a prompt of {} tokens, an answer of {}) does "
                    "not fit into the server's context: {}",
                    trace.name, longest.call.function, trace.agents[longest.agent].name, longest.step,
                    check.longest_prompt, check.longest_output,
                    is_short ? fmt::format("{} ended the answer after {} tokens", llm, answer.output_tokens)
                             : answer.error->what());
  }
  if (answer.error) throw *answer.error;
  return check;
}

}  // namespace throng::trace
