#include "trace/write.h"

#include <fmt/format.h>
#include <zlib.h>

#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/error.h"

namespace throng::trace {
namespace {

class Writer {
 public:
  explicit Writer(const Trace& trace) : trace_(trace) {}

  std::string Format() {
    CollectFunctions();
    Header();
    const size_t n = trace_.agents.size();
    std::vector<size_t> path(n);
    std::vector<size_t> action(n);
    std::vector<size_t> plan(n);
    std::vector<size_t> chain(n);
    size_t conversation = 0;
    for (sim::Step step = 0; step < trace_.num_steps; ++step) {
      Moves(step, path);
      for (sim::AgentId id = 0; id < n; ++id) {
        const TraceAgent& agent = trace_.agents[id];
        for (; action[id] < agent.actions.size() && agent.actions[action[id]].first == step; ++action[id]) {
          Append(R"({{"s":{},"a":{},"action":{}}})"
                 "\n",
                 step, id, Quoted(agent.actions[action[id]].second));
        }
        for (; plan[id] < agent.plans.size() && agent.plans[plan[id]].first == step; ++plan[id]) {
          Append(R"({{"s":{},"a":{},"until":{}}})"
                 "\n",
                 step, id, agent.plans[plan[id]].second);
        }
        if (chain[id] < agent.chains.size() && agent.chains[chain[id]].step == step) {
          Chain(id, agent.chains[chain[id]++]);
        }
      }
      for (; conversation < trace_.conversations.size() && trace_.conversations[conversation].step == step;
           ++conversation) {
        Conversation(trace_.conversations[conversation]);
      }
    }
    return std::move(text_);
  }

 private:
  template <typename... Args>
  void Append(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
  }

  static std::string Quoted(const std::string& text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }

  void CollectFunctions() {
    const auto add = [&](const TraceCall& call) { functions_.emplace(call.function, 0); };
    for (const TraceAgent& agent : trace_.agents) {
      for (const TraceChain& chain : agent.chains) {
        for (const TraceCall& call : chain.calls) add(call);
      }
    }
    for (const TraceConversation& conversation : trace_.conversations) {
      for (const auto& [speaker, call] : conversation.turns) add(call);
    }
    size_t index = 0;
    for (auto& [name, number] : functions_) number = index++;
  }

  void Header() {
    nlohmann::ordered_json header;
    header["agents"] = nlohmann::ordered_json::array();
    for (const TraceAgent& agent : trace_.agents) header["agents"].push_back(agent.name);
    header["steps"] = trace_.num_steps;
    header["sec_per_step"] = trace_.sec_per_step;
    header["grid"] = {trace_.width, trace_.height};
    if (trace_.start != LocalTime()) header["start"] = trace_.start.Text();
    if (!trace_.source.empty()) header["source"] = trace_.source;
    if (!trace_.license.empty()) header["license"] = trace_.license;
    header["radius"] = trace_.radius_p;
    header["functions"] = nlohmann::ordered_json::array();
    for (const auto& [name, number] : functions_) header["functions"].push_back(name);
    text_ += header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }

  void Moves(sim::Step step, std::vector<size_t>& next) {
    bool any = false;
    for (sim::AgentId id = 0; id < next.size(); ++id) {
      const auto& path = trace_.agents[id].path;
      if (next[id] == path.size() || path[next[id]].first != step) continue;
      const sim::Pos pos = path[next[id]++].second;
      if (any) {
        text_ += ',';
      } else {
        Append(R"({{"s":{},"m":[)", step);
      }
      any = true;
      Append("[{},{},{}]", id, pos.x, pos.y);
    }
    if (any) text_ += "]}\n";
  }

  void Call(const TraceCall& call) {
    Append("{},{},{}]", functions_.find(call.function)->second, call.prompt_tokens, call.output_tokens);
  }

  void Chain(sim::AgentId id, const TraceChain& chain) {
    Append(R"({{"s":{},"a":{},"calls":[)", chain.step, id);
    for (size_t i = 0; i < chain.calls.size(); ++i) {
      text_ += i > 0 ? ",[" : "[";
      Call(chain.calls[i]);
    }
    text_ += "]}\n";
  }

  void Conversation(const TraceConversation& conversation) {
    Append(R"({{"s":{},"members":[{}],"turns":[)", conversation.step, fmt::join(conversation.members, ","));
    for (size_t i = 0; i < conversation.turns.size(); ++i) {
      Append("{}[{},", i > 0 ? "," : "", conversation.turns[i].first);
      Call(conversation.turns[i].second);
    }
    text_ += "]}\n";
  }

  const Trace& trace_;
  std::map<std::string, size_t, std::less<>> functions_;  // name, index
  std::string text_;
};

std::string Gzip(const std::string& text) {
  z_stream stream{};
  constexpr int kGzipWindow = 15 + 16;  // zlib's way to ask for a gzip header
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    throw MakeError(ErrorCode::kExhausted, "cannot start to compress");
  }
  std::string packed(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  THRONG_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);  // the bound suffices
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

}  // namespace

std::string FormatTrace(const Trace& trace) { return Writer(trace).Format(); }

void SaveTrace(const Trace& trace, const std::string& path) {
  const std::string text = FormatTrace(trace);
  if (text.size() > kMaxTraceBytes) {
    throw MakeError(ErrorCode::kInvalid, "{}: the trace has {} bytes of text; allowed: {}", path, text.size(),
                    kMaxTraceBytes);
  }
  const std::string bytes = path.ends_with(".gz") ? Gzip(text) : text;
  AtomicFile file(path);
  file.Write(bytes.data(), bytes.size());
  file.Commit();
}

}  // namespace throng::trace
