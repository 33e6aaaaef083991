#include "llm/grammar/program.h"

#include <algorithm>

#include "base/error.h"
#include "llm/regular/lists.h"

namespace throng::llm {
namespace {

constexpr uint32_t kNever = ~0u;

}  // namespace

Program::Program(const Grammar& grammar, const bool* has_byte) {
  LayOut(grammar);
  FindPlainText();
  if (has_byte != nullptr) KeepOnly(has_byte);
  RefuseLeftRecursion();
  FindNeeds();
}

// The builder has found those with edges for all of it.
void Program::FindPlainText() {
  const auto has_text = [](const Edge& edge) {
    return edge.high >= 0x20 && !(edge.low == edge.high && (edge.low == '"' || edge.low == '\\'));
  };
  text_.resize(positions_.size(), PlainText::kSome);
  for (Pos pos = 0; pos < positions_.size(); ++pos) {
    const Position& at = positions_[pos];
    if (at.kind != Kind::kByte || text_[pos] == PlainText::kAll) continue;
    const Edge* edges = EdgesOf(at);
    if (std::none_of(edges, edges + at.number, has_text)) text_[pos] = PlainText::kNone;
  }
}

void Program::KeepOnly(const bool* has_byte) {
  std::vector<Edge> kept;
  for (Position& position : positions_) {
    if (position.kind == Kind::kCall) continue;
    const auto first = static_cast<uint32_t>(kept.size());
    for (uint32_t e = 0; e < position.number; ++e) {
      const Edge& edge = edges_[position.first + e];
      if (position.kind == Kind::kFork) kept.push_back(edge);
      for (int byte = edge.low; byte <= edge.high && position.kind == Kind::kByte; ++byte) {
        const auto one = static_cast<uint8_t>(byte);
        if (has_byte[byte]) kept.push_back({one, one, edge.next});
      }
    }
    position.first = first;
    position.number = static_cast<uint32_t>(kept.size()) - first;
  }
  edges_ = std::move(kept);
  for (PlainText& text : text_)
    if (text == PlainText::kAll) text = PlainText::kSome;  // some of its bytes may be gone
}

void Program::RefuseLeftRecursion() const {
  // By body: those that it may call before its first byte.
  std::vector<std::vector<uint32_t>> calls(bodies_.size());
  std::vector<uint32_t> mark(positions_.size());
  std::vector<Pos> work;
  for (uint32_t body = 0; body < bodies_.size(); ++body) {
    work.assign(1, bodies_[body].entry);
    while (!work.empty()) {
      const Pos pos = work.back();
      work.pop_back();
      if (mark[pos] == body + 1) continue;
      mark[pos] = body + 1;
      const Position& at = positions_[pos];
      if (at.kind == Kind::kFork) {
        for (uint32_t e = 0; e < at.number; ++e) work.push_back(edges_[at.first + e].next);
      } else if (at.kind == Kind::kCall) {
        calls[body].push_back(at.first);
        if (bodies_[at.first].nullable) work.push_back(at.number);
      }
    }
  }
  std::vector<uint8_t> state(bodies_.size());  // 0: new, 1: on the path, 2: done
  std::vector<std::pair<uint32_t, size_t>> path;
  for (uint32_t root = 0; root < bodies_.size(); ++root) {
    if (state[root] != 0) continue;
    state[root] = 1;
    path.assign(1, {root, 0});
    while (!path.empty()) {
      auto& [body, visited] = path.back();
      if (visited == calls[body].size()) {
        state[body] = 2;
        path.pop_back();
        continue;
      }
      const uint32_t callee = calls[body][visited++];
      if (state[callee] == 1) {
        throw MakeError(ErrorCode::kUnsupported,
                        "the rule {} begins with itself, which cannot be constrained: it must begin with a "
                        "character",
                        bodies_[callee].name);
      }
      if (state[callee] != 0) continue;
      state[callee] = 1;
      path.emplace_back(callee, 0);
    }
  }
}

// The least is settled first, as in Dijkstra's algorithm: a need depends on smaller ones only.
void Program::FindNeeds() {
  // The positions whose need depends on a position's. Edges to the same one often follow each other.
  const Lists users(positions_.size(), [&](const auto& add) {
    for (Pos pos = 0; pos < positions_.size(); ++pos) {
      const Position& at = positions_[pos];
      if (at.kind == Kind::kCall) add(at.number, pos);
      for (uint32_t e = 0; at.kind != Kind::kCall && e < at.number; ++e) {
        const Pos next = edges_[at.first + e].next;
        if (e == 0 || next != edges_[at.first + e - 1].next) add(next, pos);
      }
    }
  });
  const Lists callers(bodies_.size(), [&](const auto& add) {
    for (Pos pos = 0; pos < positions_.size(); ++pos)
      if (positions_[pos].kind == Kind::kCall) add(positions_[pos].first, pos);
  });
  const Lists begun_by(positions_.size(), [&](const auto& add) {
    for (uint32_t body = 0; body < bodies_.size(); ++body) add(bodies_[body].entry, body);
  });

  need_.assign(positions_.size(), kNever);
  std::vector<std::vector<Pos>> queue(kMaxDepth +
                                      2);  // by need; what needs more is as good as without an end
  const auto settle = [&](uint32_t need, Pos pos) {
    if (need_[pos] == kNever) queue[std::min(need, kMaxDepth + 1)].push_back(pos);
  };
  for (const Pos pos : {kEnd, kReturn, kHole}) settle(0, pos);
  const auto call = [&](Pos pos) {
    const Position& at = positions_[pos];
    const Body& body = bodies_[at.first];
    if (need_[at.number] == kNever) return;
    if (at.number == kReturn && !body.is_loop) {  // needs no frame
      if (need_[body.entry] != kNever || body.nullable) settle(body.nullable ? 0 : need_[body.entry], pos);
    } else if (body.nullable) {
      settle(need_[at.number], pos);
    } else if (need_[body.entry] != kNever) {
      settle(std::max(need_[at.number], need_[body.entry] + 1), pos);
    }
  };
  for (uint32_t need = 0; need < queue.size(); ++need) {
    for (size_t i = 0; i < queue[need].size(); ++i) {
      const Pos pos = queue[need][i];
      if (need_[pos] != kNever) continue;
      need_[pos] = need;
      for (const Pos user : users[pos])
        positions_[user].kind == Kind::kCall ? call(user) : settle(need, user);
      for (const uint32_t body : begun_by[pos])
        for (const Pos caller : callers[body]) call(caller);
    }
  }
  if (need_[entry_] > kMaxDepth) {
    throw MakeError(
        ErrorCode::kInvalid, "the constraint of an answer allows no text{}",
        need_[entry_] == kNever ? " that ends" : fmt::format(" with less than {} levels", kMaxDepth));
  }
}

}  // namespace throng::llm
