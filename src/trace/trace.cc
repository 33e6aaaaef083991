#include "trace/trace.h"

#include <zlib.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/rng.h"

namespace throng::trace {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxAgents = 1'000'000;
constexpr size_t kMaxFunctions = 1000;
constexpr int64_t kMaxTokens = 100'000'000;

// Mean sizes in tokens of Generative Agents' prompts and answers. Each call varies by up to a quarter around
// them; the mean over a day is about the 640 in and 22 out that AI Metropolis reports (docs/replay.md).
constexpr TraceCall kDailyPlan{"daily_plan", 750, 120};
constexpr TraceCall kHourlySchedule{"hourly_schedule", 850, 12};
constexpr int kHourlyScheduleCalls = 17;
constexpr TraceCall kTaskDecomposition{"task_decomposition", 1200, 150};
constexpr TraceCall kActionChain[] = {{"action_sector", 640, 8},
                                      {"action_arena", 480, 6},
                                      {"action_object", 400, 6},
                                      {"action_emoji", 230, 5},
                                      {"action_triple", 300, 14}};
constexpr TraceCall kRelationship{"relationship", 720, 40};
constexpr TraceCall kUtterance{"utterance", 850, 0};  // plus the conversation so far; the output is the text
constexpr TraceCall kConversationMemo{"conversation_memo", 450, 30};

int TokensOf(std::string_view text) { return std::max<int>(1, static_cast<int>(text.size() / 4)); }

TraceCall Vary(TraceCall call, sim::AgentId agent, sim::Step step, size_t index) {
  CounterRng rng(agent, step, index);
  const auto vary = [&](int n) { return std::max(1, static_cast<int>(n * (0.75 + 0.5 * rng.NextDouble()))); };
  call.prompt_tokens = vary(call.prompt_tokens);
  call.output_tokens = vary(call.output_tokens);
  return call;
}

class Parser {
 public:
  explicit Parser(const std::string& name) { trace_.name = name; }

  void Line(std::string_view line) {
    ++line_;
    if (line.empty()) return;
    const Json json = Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) Fail("is not a JSON object");
    if (trace_.agents.empty()) {
      Header(json);
    } else if (json.contains("m")) {
      Moves(json);
    } else if (json.contains("members")) {
      Conversation(json);
    } else if (json.contains("calls")) {
      Calls(json);
    } else if (json.contains("until")) {
      Plan(json);
    } else {
      Action(json);
    }
  }

  Trace Finish() {
    if (trace_.agents.empty()) {
      throw MakeError(ErrorCode::kInvalid, "{}: there is no header line with the agents", trace_.name);
    }
    for (const TraceAgent& agent : trace_.agents) {
      if (agent.path.empty()) {
        throw MakeError(ErrorCode::kInvalid, "{}: agent {} has no position at step 0", trace_.name,
                        agent.name);
      }
    }
    if (!carries_calls_) DeriveConversations();
    return std::move(trace_);
  }

 private:
  // One conversation as its lines tell it, before calls are derived.
  struct Talk {
    std::set<sim::AgentId> members;
    std::vector<std::pair<sim::AgentId, std::string>> lines;  // speaker, text
  };

  template <typename... Args>
  [[noreturn]] void Fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw MakeError(ErrorCode::kInvalid, "{}:{}: {}", trace_.name, line_,
                    fmt::format(format, std::forward<Args>(args)...));
  }

  int64_t Integer(const Json& json, const char* what, int64_t min, int64_t max) const {
    // Unsigned values above the signed range would wrap in get<int64_t>().
    const bool fits = json.is_number_unsigned() ? json.get<uint64_t>() <= static_cast<uint64_t>(max)
                                                : json.is_number_integer();
    if (!fits || json.get<int64_t>() < min || json.get<int64_t>() > max) {
      Fail("{} is {}; allowed: an integer from {} to {}", what, json.dump().substr(0, 40), min, max);
    }
    return json.get<int64_t>();
  }

  int64_t Integer(const Json& json, const char* key, int64_t min, int64_t max, const char* what) const {
    const auto it = json.find(key);
    if (it == json.end()) Fail("there is no \"{}\" ({})", key, what);
    return Integer(*it, key, min, max);
  }

  void Header(const Json& json) {
    const auto agents = json.find("agents");
    if (agents == json.end() || !agents->is_array() || agents->empty() ||
        agents->size() > static_cast<size_t>(kMaxAgents)) {
      Fail("the header wants \"agents\", a list of 1 to {} names", kMaxAgents);
    }
    trace_.num_steps =
        static_cast<sim::Step>(Integer(json, "steps", 1, kMaxTraceSteps, "the number of steps"));
    trace_.sec_per_step =
        static_cast<int>(Integer(json, "sec_per_step", 1, 86400, "simulated seconds of a step"));
    const auto grid = json.find("grid");
    if (grid == json.end() || !grid->is_array() || grid->size() != 2) {
      Fail("the header wants \"grid\", [width, height]");
    }
    trace_.width = static_cast<int32_t>(Integer((*grid)[0], "grid width", 1, kMaxTraceSide));
    trace_.height = static_cast<int32_t>(Integer((*grid)[1], "grid height", 1, kMaxTraceSide));
    OptionalHeader(json);
    for (const Json& name : *agents) {
      if (!name.is_string()) Fail("agent {} is not a name", name.dump().substr(0, 40));
      const auto id = static_cast<sim::AgentId>(trace_.agents.size());
      const bool is_new = ids_.emplace(name.get<std::string>(), id).second;
      if (!is_new && !carries_calls_) Fail("two agents are named {}; chats name who speaks", name.dump());
      trace_.agents.emplace_back().name = name.get<std::string>();
    }
    last_talk_.resize(trace_.agents.size());
    awake_.resize(trace_.agents.size());
  }

  void OptionalHeader(const Json& json) {
    const auto text = [&](const char* key, std::string& field) {
      const auto it = json.find(key);
      if (it == json.end()) return;
      if (!it->is_string()) Fail("\"{}\" is {}; allowed: a text", key, it->dump().substr(0, 40));
      field = it->get<std::string>();
    };
    text("source", trace_.source);
    text("license", trace_.license);
    std::string start;
    text("start", start);
    if (!start.empty()) {
      const std::optional<LocalTime> time = LocalTime::Parse(start);
      if (!time) Fail("\"start\" is {:?}; allowed: a time such as 2023-02-13T06:30:00, or 06:30:00", start);
      trace_.start = *time;
    }
    if (json.contains("radius")) {
      trace_.radius_p = static_cast<int>(Integer(json, "radius", 0, kMaxTraceSide, "the perception radius"));
    }
    const auto functions = json.find("functions");
    carries_calls_ = functions != json.end();
    if (!carries_calls_) return;
    if (!functions->is_array() || functions->size() > kMaxFunctions) {
      Fail("\"functions\" is no list of at most {} names", kMaxFunctions);
    }
    for (const Json& name : *functions) {
      if (!name.is_string()) Fail("function {} is not a name", name.dump().substr(0, 40));
      functions_.push_back(InternFunction(name.get<std::string>()));
    }
  }

  sim::Step StepOf(const Json& json) {
    const sim::Step step = static_cast<sim::Step>(Integer(json, "s", 0, trace_.num_steps - 1, "the step"));
    if (step < step_) Fail("step {} follows step {}; steps may not decrease", step, step_);
    return step_ = step;
  }

  sim::AgentId AgentOf(const Json& json) const {
    return static_cast<sim::AgentId>(
        Integer(json, "agent", 0, static_cast<int64_t>(trace_.agents.size()) - 1));
  }

  void Moves(const Json& json) {
    const sim::Step step = StepOf(json);
    if (!json["m"].is_array()) Fail("\"m\" is not a list of [agent, x, y]");
    for (const Json& move : json["m"]) {
      if (!move.is_array() || move.size() != 3) Fail("a move is not [agent, x, y]");
      TraceAgent& agent = trace_.agents[AgentOf(move[0])];
      const sim::Pos pos{static_cast<int32_t>(Integer(move[1], "x", 0, trace_.width - 1)),
                         static_cast<int32_t>(Integer(move[2], "y", 0, trace_.height - 1))};
      if (agent.path.empty() && step != 0) Fail("agent {} has no position before this step", agent.name);
      if (!agent.path.empty() && agent.path.back().first == step) Fail("agent {} moves twice", agent.name);
      agent.path.emplace_back(step, pos);
    }
  }

  void Plan(const Json& json) {
    const sim::Step step = StepOf(json);
    if (!json.contains("a")) Fail("there is no \"a\", the agent that has the plan");
    TraceAgent& agent = trace_.agents[AgentOf(json["a"])];
    if (!agent.plans.empty() && agent.plans.back().first == step) {
      Fail("agent {} has two plans in one step", agent.name);
    }
    agent.plans.emplace_back(step,
                             static_cast<sim::Step>(Integer(json["until"], "until", step, kMaxTraceSteps)));
  }

  void Action(const Json& json) {
    const sim::Step step = StepOf(json);
    const auto who = json.find("a");
    if (who == json.end()) Fail("a line wants \"m\" (moves) or \"a\" (the agent that acts)");
    const sim::AgentId id = AgentOf(*who);
    TraceAgent& agent = trace_.agents[id];
    const auto action = json.find("action");
    if (action == json.end() || !action->is_string()) Fail("there is no \"action\", a text");
    const std::string text = action->get<std::string>();
    if (agent.actions.empty() || agent.actions.back().second != text) {
      if (!carries_calls_) DeriveActionCalls(id, step, text);
      agent.actions.emplace_back(step, text);
    }
    if (carries_calls_) return;
    if (const auto chat = json.find("chat"); chat != json.end()) Chat(id, step, *chat);
  }

  // Reads [function, prompt, output], which begins at index `first` of the list.
  TraceCall CallOf(const Json& call, size_t first) {
    if (!carries_calls_) Fail("there are calls, but the header has no \"functions\"");
    if (!call.is_array() || call.size() != first + 3) {
      Fail("{} is not [{}function, prompt tokens, output tokens]", call.dump().substr(0, 40),
           first == 1 ? "agent, " : "");
    }
    const int64_t last = static_cast<int64_t>(functions_.size()) - 1;
    const char* function = functions_[static_cast<size_t>(Integer(call[first], "function", 0, last))];
    return {function, static_cast<int>(Integer(call[first + 1], "prompt tokens", 1, kMaxTokens)),
            static_cast<int>(Integer(call[first + 2], "output tokens", 1, kMaxTokens))};
  }

  void Calls(const Json& json) {
    const sim::Step step = StepOf(json);
    if (!json.contains("a")) Fail("there is no \"a\", the agent that makes the calls");
    TraceAgent& agent = trace_.agents[AgentOf(json["a"])];
    if (!agent.chains.empty() && agent.chains.back().step == step) {
      Fail("agent {} has two lists of calls in one step", agent.name);
    }
    if (!json["calls"].is_array()) Fail("\"calls\" is not a list");
    TraceChain& chain = agent.chains.emplace_back();
    chain.step = step;
    for (const Json& call : json["calls"]) chain.calls.push_back(CallOf(call, 0));
  }

  void Conversation(const Json& json) {
    TraceConversation conversation{StepOf(json), {}, {}};
    const auto turns = json.find("turns");
    if (!json["members"].is_array() || turns == json.end() || !turns->is_array()) {
      Fail("a conversation wants \"members\" and \"turns\", both lists");
    }
    std::vector<sim::AgentId>& members = conversation.members;
    for (const Json& member : json["members"]) members.push_back(AgentOf(member));
    if (members.size() < 2 ||
        std::adjacent_find(members.begin(), members.end(), std::greater_equal<>()) != members.end()) {
      Fail("\"members\" are not two or more agents, ascending");
    }
    for (const Json& turn : *turns) {
      const TraceCall call = CallOf(turn, 1);
      const sim::AgentId speaker = AgentOf(turn[0]);
      if (!std::binary_search(members.begin(), members.end(), speaker)) {
        Fail("agent {} speaks, but is not a member", speaker);
      }
      conversation.turns.emplace_back(speaker, call);
    }
    trace_.conversations.push_back(std::move(conversation));
  }

  void Chat(sim::AgentId id, sim::Step step, const Json& chat) {
    if (!chat.is_null() && !chat.is_array()) Fail("\"chat\" is neither null nor a list of [speaker, text]");
    std::string key = chat.is_null() ? "" : chat.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (key == last_talk_[id]) return;  // the same conversation continues
    last_talk_[id] = key;
    if (chat.is_null() || chat.empty()) return;
    Talk& talk = talks_[{step, std::move(key)}];
    talk.members.insert(id);
    if (!talk.lines.empty()) return;  // the other member's record of the same conversation
    for (const Json& line : chat) {
      if (!line.is_array() || line.size() != 2 || !line[0].is_string() || !line[1].is_string()) {
        Fail("a line of \"chat\" is not [speaker, text]");
      }
      const auto speaker = ids_.find(line[0].get_ref<const std::string&>());
      if (speaker == ids_.end()) Fail("{} speaks in \"chat\", but is no agent", line[0].dump());
      talk.members.insert(speaker->second);
      talk.lines.emplace_back(speaker->second, line[1].get<std::string>());
    }
  }

  // A new action costs the chain of calls with which Generative Agents finds place and object. A new task
  // (the text before the bracket) also costs its decomposition, and waking up also the plan of the day.
  void DeriveActionCalls(sim::AgentId id, sim::Step step, const std::string& action) {
    TraceAgent& agent = trace_.agents[id];
    if (step == 0) return;  // the state at the start of the recording
    if (agent.chains.empty() || agent.chains.back().step != step) agent.chains.push_back({step, {}});
    std::vector<TraceCall>& calls = agent.chains.back().calls;
    const auto add = [&](const TraceCall& call) { calls.push_back(Vary(call, id, step, calls.size())); };
    const auto task = [](std::string_view text) { return text.substr(0, text.find_first_of("(@")); };
    if (!awake_[id] && !action.starts_with("sleep")) {
      awake_[id] = true;
      add(kDailyPlan);
      for (int i = 0; i < kHourlyScheduleCalls; ++i) add(kHourlySchedule);
    }
    if (agent.actions.empty() || task(agent.actions.back().second) != task(action)) add(kTaskDecomposition);
    for (const TraceCall& call : kActionChain) add(call);
  }

  void DeriveConversations() {
    for (auto& [key, talk] : talks_) {
      const sim::Step step = key.first;
      TraceConversation conversation{step, {}, {}};
      conversation.members.assign(talk.members.begin(), talk.members.end());
      if (conversation.members.size() < 2) continue;  // a monologue
      int so_far = 0;
      std::set<sim::AgentId> spoke;
      const auto add = [&](sim::AgentId who, TraceCall call, int extra_prompt, int output) {
        TraceCall varied = Vary(call, who, step, conversation.turns.size());
        varied.prompt_tokens += extra_prompt;
        if (output > 0) varied.output_tokens = output;
        conversation.turns.emplace_back(who, varied);
      };
      for (const auto& [speaker, text] : talk.lines) {
        if (spoke.insert(speaker).second) add(speaker, kRelationship, 0, 0);
        add(speaker, kUtterance, so_far, TokensOf(text));
        so_far += TokensOf(text);
      }
      for (const sim::AgentId member : conversation.members) add(member, kConversationMemo, so_far, 0);
      trace_.conversations.push_back(std::move(conversation));
    }
  }

  Trace trace_;
  size_t line_ = 0;
  sim::Step step_ = 0;
  std::map<std::string, sim::AgentId, std::less<>> ids_;
  std::map<std::pair<sim::Step, std::string>, Talk> talks_;  // by step and text
  std::vector<std::string> last_talk_;                       // by agent: the conversation it is in
  std::vector<bool> awake_;
  bool carries_calls_ = false;
  std::vector<const char*> functions_;  // named in the header
};

std::string ReadMaybeGzipped(const std::string& path) {
  const std::unique_ptr<gzFile_s, decltype(&gzclose)> file(gzopen(path.c_str(), "rb"), &gzclose);
  if (!file) throw MakeError(ErrorCode::kIo, "{}: cannot open", path);
  std::string text;
  std::vector<char> buffer(1 << 16);
  int n;
  while ((n = gzread(file.get(), buffer.data(), static_cast<unsigned>(buffer.size()))) > 0) {
    text.append(buffer.data(), static_cast<size_t>(n));
    if (text.size() > kMaxTraceBytes) {
      throw MakeError(ErrorCode::kInvalid, "{}: more than {} bytes of text", path, kMaxTraceBytes);
    }
  }
  int code = Z_OK;
  const char* reason = gzerror(file.get(), &code);
  if (n < 0 || (code != Z_OK && code != Z_STREAM_END)) {
    throw MakeError(ErrorCode::kCorrupt, "{}: cannot unpack: {}", path, reason);
  }
  return text;
}

}  // namespace

sim::Pos TraceAgent::PosAt(sim::Step step) const {
  const auto after = std::upper_bound(
      path.begin(), path.end(), step,
      [](sim::Step s, const std::pair<sim::Step, sim::Pos>& entry) { return s < entry.first; });
  return after == path.begin() ? path.front().second : std::prev(after)->second;
}

std::string_view TraceAgent::ActionAt(sim::Step step) const {
  const auto after = std::upper_bound(
      actions.begin(), actions.end(), step,
      [](sim::Step s, const std::pair<sim::Step, std::string>& entry) { return s < entry.first; });
  return after == actions.begin() ? std::string_view() : std::string_view(std::prev(after)->second);
}

sim::Step TraceAgent::PlannedUntil(sim::Step step) const {
  const auto after = std::upper_bound(plans.begin(), plans.end(), step,
                                      [](sim::Step s, const auto& entry) { return s < entry.first; });
  return after == plans.begin() ? step : std::prev(after)->second;
}

uint64_t Trace::NumCalls() const {
  uint64_t calls = 0;
  for (const TraceAgent& agent : agents) {
    for (const TraceChain& chain : agent.chains) calls += chain.calls.size();
  }
  for (const TraceConversation& conversation : conversations) calls += conversation.turns.size();
  return calls;
}

int Trace::SecondOfDay(sim::Step step) const { return start.After(int64_t{step} * sec_per_step).second; }

const char* InternFunction(std::string_view name) {
  static std::mutex mutex;
  static std::set<std::string, std::less<>> names;  // nodes never move
  const std::lock_guard lock(mutex);
  return names.emplace(name).first->c_str();
}

Trace ParseTrace(std::string_view text, const std::string& name) {
  Parser parser(name);
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    parser.Line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parser.Finish();
}

Trace LoadTrace(const std::string& path) { return ParseTrace(ReadMaybeGzipped(path), path); }

}  // namespace throng::trace
