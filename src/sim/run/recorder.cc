#include "sim/run/recorder.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "sim/cluster_run.h"
#include "sim/world_state.h"

namespace throng::sim {

namespace {

// How much of a text to show before and after the place where it differs, in bytes.
constexpr size_t kShownBefore = 30;
constexpr size_t kShownAfter = 60;

std::vector<std::string> RequestParts(const llm::Request& request) {
  const llm::Sampling& sampling = request.sampling;
  return {
      request.function,
      request.system,
      request.prompt,
      fmt::format("{:?}", fmt::join(request.constraint.choices, ", ")),
      request.constraint.json_schema,
      request.constraint.grammar,
      request.constraint.regex,
      fmt::format("{:?}", fmt::join(request.stop, ", ")),
      fmt::format("max_tokens {}, temperature {}, top_k {}, top_p {}, min_p {}, repetition_penalty {}, seed "
                  "{}, {} and {} tokens",
                  request.max_tokens, sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p,
                  sampling.repetition_penalty, sampling.seed, request.known_prompt_tokens,
                  request.known_output_tokens),
      request.kind == llm::Kind::kModel
          ? ""
          : fmt::format("{}, effect {}, otherwise {:?}", static_cast<int>(request.kind),
                        static_cast<int>(request.effect), request.otherwise)};
}

const RecordedCall* FindCall(const RecordedStep& step, uint32_t number) {
  for (const RecordedCall& call : step.calls) {
    if (call.number == number) return &call;
  }
  return nullptr;
}

bool IsInsideCharacter(std::string_view text, size_t at) {
  return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80;
}

// The part of a line around `at`, in quotes.
std::string ShowAround(std::string_view line, size_t at) {
  size_t begin = at > kShownBefore ? at - kShownBefore : 0;
  size_t end = std::min(line.size(), at + kShownAfter);
  while (begin > 0 && IsInsideCharacter(line, begin)) --begin;
  while (IsInsideCharacter(line, end)) ++end;
  return fmt::format("{}{:?}{}", begin > 0 ? "..." : "", line.substr(begin, end - begin),
                     end < line.size() ? "..." : "");
}

std::string_view LineAt(std::string_view text, size_t begin) {
  return text.substr(begin, text.find('\n', begin) - begin);
}

// Both texts where they differ first.
std::string Contrast(std::string_view a, std::string_view b) {
  const auto differ = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  auto at = static_cast<size_t>(differ.first - a.begin());
  while (at > 0 && (IsInsideCharacter(a, at) || IsInsideCharacter(b, at))) --at;
  const size_t newline = at == 0 ? std::string_view::npos : a.rfind('\n', at - 1);
  const size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
  const auto line = std::count(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(begin), '\n') + 1;
  const bool single = a.find('\n') == std::string_view::npos && b.find('\n') == std::string_view::npos;
  return fmt::format("{}: {} and {}", single ? "" : fmt::format(", line {}", line),
                     ShowAround(LineAt(a, begin), at - begin), ShowAround(LineAt(b, begin), at - begin));
}

// Below, the texts of differences lack where they are.

Difference Texts(const std::string& what, const std::string& a, const std::string& b) {
  return {", " + what + Contrast(a, b), what + ": " + b};
}

std::string DescribeCall(const RecordedCall& call) {
  return fmt::format("call {} ({})", call.number, call.request.at(0));
}

std::string DescribeAnswer(const llm::Completion& answer) {
  if (answer.error) return fmt::format("failed: {}", answer.error->what());
  return answer.finish == llm::FinishReason::kLength ? answer.text + " (cut off)" : answer.text;
}

std::optional<Difference> CompareCall(const RecordedCall& a, const RecordedCall& b) {
  for (size_t i = 0; i < std::size(kRequestParts); ++i) {
    if (a.request.at(i) == b.request.at(i)) continue;
    return Texts(fmt::format("{} of {}", kRequestParts[i], DescribeCall(b)), a.request[i], b.request[i]);
  }
  const std::string answer_a = DescribeAnswer(a.answer);
  const std::string answer_b = DescribeAnswer(b.answer);
  if (answer_a == answer_b) return std::nullopt;
  Difference found = Texts("answer to " + DescribeCall(b), answer_a, answer_b);
  found.text += "; the question is the same, so the backend's answers do not depend on the request alone";
  found.is_backends_fault = true;
  return found;
}

std::optional<Difference> CompareCalls(const std::string& name_a, const RecordedStep& a,
                                       const std::string& name_b, const RecordedStep& b) {
  const auto only_in = [](const std::string& name, const RecordedCall& call) -> Difference {
    const std::string text = fmt::format(", {}, which only {} asks: {}", DescribeCall(call), name,
                                         ShowAround(call.request.at(2), 0));
    return {text, text};
  };
  for (const RecordedCall& call : a.calls) {
    const RecordedCall* const other = FindCall(b, call.number);
    if (other == nullptr) return only_in(name_a, call);
    if (std::optional<Difference> found = CompareCall(call, *other)) return found;
  }
  for (const RecordedCall& call : b.calls) {
    if (FindCall(a, call.number) == nullptr) return only_in(name_b, call);
  }
  return std::nullopt;
}

std::string DescribeEvents(const std::vector<Event>& events) {
  std::string text;
  for (const Event& event : events) text += fmt::format("{}: {}\n", event.kind, event.text);
  return text;
}

Difference CompareSteps(const std::string& name_a, const RecordedStep& a, const std::string& name_b,
                        const RecordedStep& b) {
  if (std::optional<Difference> found = CompareCalls(name_a, a, name_b, b)) return *found;
  const auto place = [](Pos pos) { return fmt::format("({}, {})", pos.x, pos.y); };
  if (a.body.pos != b.body.pos) {
    const std::string to = place(b.body.pos);
    return {fmt::format(", position: {} and {}", place(a.body.pos), to), "position: " + to};
  }
  if (a.body.status != b.body.status) return Texts("status", a.body.status, b.body.status);
  const std::string events_a = DescribeEvents(a.events);
  const std::string events_b = DescribeEvents(b.events);
  if (events_a != events_b) return Texts("events", events_a, events_b);
  if (a.mind != b.mind) return Texts("mind", a.mind, b.mind);
  if (a.mind_digest != b.mind_digest) return {", mind", "mind " + b.mind_digest.Hex()};
  if (a.removed != b.removed)
    return {fmt::format(", which only {} removes", a.removed ? name_a : name_b), ""};
  return {};
}

// The first cell, by position, that only one of the two wrote, or to which they wrote different values.
std::string CompareCells(const std::vector<CellWrite>& a, const std::vector<CellWrite>& b) {
  std::map<Pos, std::pair<std::string, std::string>> cells;
  for (const CellWrite& cell : a) cells[cell.pos].first = cell.value;
  for (const CellWrite& cell : b) cells[cell.pos].second = cell.value;
  for (const auto& [pos, values] : cells) {
    if (values.first != values.second) {
      return fmt::format("cell ({}, {}){}", pos.x, pos.y, Contrast(values.first, values.second));
    }
  }
  return "what was written to cells";
}

}  // namespace

Recorder::Recorder(const World& world, Recording& recording, const Recording* other, bool strict)
    : recording_(recording), other_(other), strict_(strict), calls_(world.NumAgents()) {
  recording.AddScenario(world.ScenarioDigest());
  Hasher hasher;
  for (AgentId agent = 0; agent < world.NumAgents(); ++agent) {
    if (!world.StartsPresent(agent)) continue;
    MemberCommit start;
    start.id = agent;
    start.body = world.StartBody(agent);
    start.mind = world.StartMind(agent);
    start.mind_digest = DigestOfMind(start.mind.get(), hasher);
    hasher.Reset();
    start.body.Hash(hasher);
    start.digest = hasher.Add(start.mind_digest).Finish();
    Add(Recording::kStart, start, {});
  }
}

void Recorder::OnAsked(const llm::Request& request, const Digest& digest) {
  const auto [agent, step, number] = request.key;
  RecordedCall call;
  call.number = number;
  call.digest = digest;
  call.request = RequestParts(request);
  calls_[agent].push_back(std::move(call));
  if (!strict_) return;
  const RecordedStep expected = other_->Read(step, agent);
  const RecordedCall* const other = FindCall(expected, number);
  if (other != nullptr && other->digest == digest) return;
  ended_at_ = {step, agent};
  RecordedStep so_far;
  so_far.calls = calls_[agent];
  recording_.AddStep(step, agent, {}, &so_far);
  throw MakeError(ErrorCode::kCancelled, "another call than in the run it is compared with");
}

void Recorder::OnAnswered(const llm::CallKey& key, const llm::Completion& completion) {
  for (RecordedCall& call : calls_[key.agent]) {
    if (call.number == key.call) call.answer = completion;
  }
}

void Recorder::Add(Step step, const MemberCommit& commit, std::span<const Event> events) {
  std::vector<RecordedCall>& calls = calls_[commit.id];
  if (other_ != nullptr && other_->DigestOf(step, commit.id) == commit.digest) {
    recording_.AddStep(step, commit.id, commit.digest, nullptr);
    calls.clear();
    return;
  }
  RecordedStep what;
  what.calls = std::exchange(calls, {});
  std::sort(what.calls.begin(), what.calls.end(),
            [](const RecordedCall& a, const RecordedCall& b) { return a.number < b.number; });
  what.body = commit.body;
  what.mind_digest = commit.mind_digest;
  if (commit.mind != nullptr) what.mind = commit.mind->Text();
  for (const Event& event : events) {
    if (event.agent == commit.id) what.events.push_back(event);
  }
  what.removed = commit.removed;
  recording_.AddStep(step, commit.id, commit.digest, &what);
}

void Recorder::OnCommit(const CommitRecord& record) {
  for (const MemberCommit& member : record.members) Add(record.step, member, record.events);
  for (const MemberCommit& born : record.born) Add(record.step, born, {});
  recording_.AddCells(record.step, record.cells);
}

void Recorder::OnIntervention(const InterventionRecord& record) {
  recording_.AddIntervention(record.step, record.digest);
}

Difference CompareAt(const World& world, const std::string& name_a, const Recording& a,
                     const std::string& name_b, const Recording& b, const DifferentAt& at) {
  const std::string where =
      at.step == Recording::kStart ? "before step 0" : fmt::format("first at step {}", at.step);
  const std::string who = fmt::format("{}, {}", where, DescribeAgent(world, at.agent));
  Difference found = CompareSteps(name_a, a.Read(at.step, at.agent), name_b, b.Read(at.step, at.agent));
  found.text = fmt::format("{} and {} differ {}{}", name_a, name_b, who, found.text);
  found.second = who + found.second;
  return found;
}

namespace {

std::optional<Difference> CompareStep(const World& world, const std::string& name_a, const Recording& a,
                                      const std::string& name_b, const Recording& b, Step step) {
  const std::string both = fmt::format("{} and {} differ ", name_a, name_b);
  if (a.InterventionsOf(step) != b.InterventionsOf(step)) {
    const std::string where = fmt::format("first at step {}, in what came from outside", step);
    return Difference{both + where, where + b.InterventionsOf(step).Hex()};
  }
  const AgentId agents = std::max(a.NumAgents(step), b.NumAgents(step));
  for (AgentId agent = 0; agent < agents; ++agent) {
    if (a.DigestOf(step, agent) == b.DigestOf(step, agent)) continue;
    return CompareAt(world, name_a, a, name_b, b, {step, agent});
  }
  if (a.CellsOf(step) == b.CellsOf(step)) return std::nullopt;
  const std::string where =
      fmt::format("first at step {}, {}", step, CompareCells(a.ReadCells(step), b.ReadCells(step)));
  return Difference{both + where, where};
}

}  // namespace

std::optional<Difference> CompareStart(const World& world, const std::string& name_a, const Recording& a,
                                       const std::string& name_b, const Recording& b) {
  std::optional<Difference> difference = CompareStep(world, name_a, a, name_b, b, Recording::kStart);
  if (difference || a.Scenario() == b.Scenario()) return difference;
  const std::string what =
      "before step 0: the world is not made the same twice (names, rules, links, announcements, parameters)";
  return Difference{fmt::format("{} and {} differ {}", name_a, name_b, what), what + b.Scenario().Hex()};
}

std::optional<Difference> Compare(const World& world, const std::string& name_a, const Recording& a,
                                  const std::string& name_b, const Recording& b) {
  if (std::optional<Difference> difference = CompareStart(world, name_a, a, name_b, b)) return difference;
  const Step end = std::max(a.EndStep(), b.EndStep());
  for (Step step = 0; step < end; ++step) {
    if (std::optional<Difference> difference = CompareStep(world, name_a, a, name_b, b, step))
      return difference;
  }
  return std::nullopt;
}

}  // namespace throng::sim
