#include "cli/call_stack.h"

#include <charconv>

#include "base/error.h"
#include "cli/number_flags.h"
#include "llm/decorators/retry.h"

namespace throng::cli {

namespace {

constexpr const char* kLimits = "Failures and limits";

sim::AgentId FindAgent(const sim::World& world, const std::string& name) {
  std::string names;
  for (sim::AgentId agent = 0; agent < world.NumAgents(); ++agent) {
    if (world.AgentName(agent) == name) return agent;
    if (agent < 30) names += (agent > 0 ? ", " : "") + world.AgentName(agent);
  }
  throw MakeError(ErrorCode::kInvalid, "--interactive {}: there is nobody of this name, allowed: {}{}", name,
                  names, world.NumAgents() > 30 ? ", ..." : "");
}

}  // namespace

void AddLimitFlags(CLI::App& command, Simulation& simulation) {
  command
      .add_option("--call-timeout", simulation.call_timeout_s,
                  "Seconds of the backend's clock for one attempt of a call; default: as long as it takes")
      ->group(kLimits)
      ->check(Positive());
  command
      .add_option("--call-attempts", simulation.call_attempts,
                  "How often a call is asked that takes too long or whose backend is unavailable")
      ->group(kLimits)
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command
      .add_flag("--fallback", simulation.fallback,
                "An agent whose call failed in the end does the usual thing, instead of ending the run")
      ->group(kLimits);
  command
      .add_option("--max-tokens-total", simulation.max_tokens,
                  "Stop once prompts and answers have used so many tokens, those before a resume included")
      ->group(kLimits)
      ->check(Whole(1));
  command.add_option("--max-cost", simulation.max_cost, "Stop once so much is spent; needs --price")
      ->group(kLimits)
      ->check(Positive());
  command
      .add_option("--price", simulation.price,
                  "Of a million tokens of prompts and of answers, such as 0.15,0.6")
      ->group(kLimits);
}

void AddInteractiveFlags(CLI::App& command, Simulation& simulation) {
  command
      .add_option("--interactive", simulation.interactive,
                  "Name of the agent whose calls go before those of all others; their latencies are reported")
      ->group(kLimits);
  command
      .add_option("--target-ms", simulation.target_ms,
                  "Latency that its calls should have, for which the others yield; 0: only measure it")
      ->group(kLimits)
      ->check(NotNegative())
      ->capture_default_str();
}

llm::Price ParsePrice(const std::string& text) {
  llm::Price price;
  if (text.empty()) return price;
  const size_t comma = text.find(',');
  const auto parse = [](std::string_view part, double& value) {
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    return error == std::errc() && end == part.data() + part.size() && value >= 0;
  };
  const std::string_view view = text;
  if (comma == std::string::npos || !parse(view.substr(0, comma), price.prompt) ||
      !parse(view.substr(comma + 1), price.output)) {
    throw MakeError(
        ErrorCode::kInvalid,
        "--price {}: allowed: what a million tokens of prompts and of answers cost, such as 0.15,0.6", text);
  }
  return price;
}

void CheckLimits(const Simulation& simulation, const Scenario& scenario) {
  ParsePrice(simulation.price);
  if (simulation.max_cost > 0 && simulation.price.empty()) {
    throw MakeError(ErrorCode::kInvalid, "--max-cost {}: what tokens cost must be given with --price",
                    simulation.max_cost);
  }
  if (!simulation.interactive.empty()) FindAgent(*scenario.world, simulation.interactive);
}

CallStack MakeCallStack(const Simulation& simulation, const Scenario& scenario,
                        std::unique_ptr<llm::Llm> backend, const llm::TokensUsed& used_before) {
  CallStack stack;
  stack.top = std::move(backend);
  if (simulation.call_timeout_s > 0 || simulation.fallback) {
    llm::RetryOptions options;
    options.attempts = simulation.call_attempts;
    if (simulation.call_timeout_s > 0) options.timeout = simulation.call_timeout_s;
    stack.top = std::make_unique<llm::RetryLlm>(std::move(stack.top), options);
  }
  llm::BudgetOptions limits;
  limits.price = ParsePrice(simulation.price);
  limits.used_before = used_before;
  if (simulation.max_tokens > 0) limits.max_tokens = simulation.max_tokens;
  if (simulation.max_cost > 0) limits.max_cost = simulation.max_cost;
  auto budget = std::make_unique<llm::BudgetLlm>(std::move(stack.top), limits);
  stack.budget = budget.get();
  stack.top = std::move(budget);
  if (!simulation.interactive.empty()) {
    const llm::InteractiveOptions options = {FindAgent(*scenario.world, simulation.interactive),
                                             simulation.target_ms * 1e-3};
    auto interactive = std::make_unique<llm::InteractiveLlm>(std::move(stack.top), options);
    stack.interactive = interactive.get();
    stack.top = std::move(interactive);
  }
  return stack;
}

}  // namespace throng::cli
