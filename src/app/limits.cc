#include "app/limits.h"

#include <charconv>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "sim/find_agent.h"

namespace throng::app {

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

FallBack ParseFallBack(const std::string& name) {
  for (const FallBack rule : {FallBack::kNever, FallBack::kAnswer, FallBack::kAny}) {
    if (kFallBackNames[static_cast<int>(rule)] == name) return rule;
  }
  throw MakeError(ErrorCode::kInvalid, "fallback {:?}: allowed: {}", name, fmt::join(kFallBackNames, ", "));
}

std::function<bool(const llm::Completion&)> FallsBack(FallBack rule) {
  return [rule](const llm::Completion& failed) {
    const ErrorCode code = failed.error ? failed.error->Code() : ErrorCode::kCancelled;
    if (rule == FallBack::kAnswer) return code == ErrorCode::kBadAnswer;
    return rule == FallBack::kAny && code != ErrorCode::kInvalid && code != ErrorCode::kCancelled;
  };
}

void CheckLimits(const Limits& limits, const sim::World& world) {
  ParsePrice(limits.price);
  ParseFallBack(limits.fallback);
  if (limits.max_cost > 0 && limits.price.empty()) {
    throw MakeError(ErrorCode::kInvalid, "--max-cost {}: what tokens cost must be given with --price",
                    limits.max_cost);
  }
  if (!limits.interactive.empty()) sim::FindAgent("--interactive", limits.interactive, sim::AgentsOf(world));
}

std::unique_ptr<llm::Llm> WithAttempts(const Limits& limits, std::unique_ptr<llm::Llm> backend,
                                       std::function<void(const std::string&)> on_wait) {
  llm::RetryOptions options;
  if (ParseFallBack(limits.fallback) == FallBack::kAny) options.unable_after = llm::RetryLlm::kHopeless;
  options.call_attempts = limits.call_attempts;
  options.answer_attempts = limits.answer_attempts;
  options.max_wait = limits.max_wait_s;
  if (limits.call_timeout_s > 0) options.timeout = limits.call_timeout_s;
  options.on_wait =
      on_wait ? std::move(on_wait) : [](const std::string& waits) { spdlog::warn("{}", waits); };
  return std::make_unique<llm::RetryLlm>(std::move(backend), std::move(options));
}

LimitedBackend ApplyLimits(const Limits& limits, const sim::World& world, std::unique_ptr<llm::Llm> backend,
                           effects::EffectsOptions effects, const UsedBefore& used_before,
                           std::function<void(const std::string&)> on_wait) {
  LimitedBackend limited;
  limited.top = WithAttempts(limits, std::move(backend), std::move(on_wait));
  llm::BudgetOptions budget_options;
  budget_options.price = ParsePrice(limits.price);
  budget_options.used_before = used_before.tokens;
  if (limits.max_tokens > 0) budget_options.max_tokens = limits.max_tokens;
  if (limits.max_cost > 0) budget_options.max_cost = limits.max_cost;
  auto budget = std::make_unique<llm::BudgetLlm>(std::move(limited.top), budget_options);
  limited.budget = budget.get();
  limited.top = std::move(budget);
  if (!limits.interactive.empty()) {
    const llm::InteractiveOptions options = {
        sim::FindAgent("--interactive", limits.interactive, sim::AgentsOf(world)), limits.target_ms * 1e-3};
    auto interactive = std::make_unique<llm::InteractiveLlm>(std::move(limited.top), options);
    limited.interactive = interactive.get();
    limited.top = std::move(interactive);
  }
  effects.used_before = used_before.tool_calls;
  if (limits.max_tool_calls > 0) effects.max_uses = limits.max_tool_calls;
  auto others = std::make_unique<effects::EffectsLlm>(std::move(limited.top), std::move(effects));
  limited.others = others.get();
  limited.top = std::move(others);
  return limited;
}

}  // namespace throng::app
