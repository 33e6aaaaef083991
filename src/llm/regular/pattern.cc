#include "llm/regular/pattern.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "base/check.h"
#include "llm/regular/regex_syntax.h"

namespace throng::llm {
namespace {

constexpr size_t kMaxWork = 1 << 22;       // steps and edges looked at: about half a second
constexpr size_t kMaxUndetermined = 4096;  // states that a text can be in at once: each costs time
constexpr uint32_t kNone = ~0u;

// One way on through an expression.
struct Step {
  enum class Kind : uint8_t { kChars, kFork, kStart, kEnd, kWordBorder, kNoWordBorder, kLook, kAccept };
  Kind kind;
  uint32_t node;               // of the tree, for kChars and kLook; kChars: kNone for any character
  std::vector<uint32_t> next;  // steps; one, but of forks
};

// What is beside a position in a text, as far as anchors and borders of words ask.
enum class Side : uint8_t { kNothing, kWordChar, kOtherChar };

// Throws what is wrong with an expression that is well-formed, but too large.
class Limits {
 public:
  Limits(std::string_view regex, std::string_view where, const RegexTree& tree)
      : name_(NameOfPattern(where, regex)) {
    for (const RegexNode& node : tree.nodes) {
      const int64_t count = std::max(node.min, node.max);
      if (node.kind != RegexNode::Kind::kRepeat || count <= most_) continue;
      most_ = count;
      offset_ = node.offset;
    }
  }

  const std::string& Name() const { return name_; }
  void Check(size_t states, size_t edges, size_t work) const {
    if (states > Regular::kMaxStates || edges > Regular::kMaxEdges || work > kMaxWork) ThrowTooLarge();
  }
  [[noreturn]] void ThrowTooLarge() const {
    throw MakeError(ErrorCode::kInvalid, "{} needs more than {} automaton states{}", name_,
                    Regular::kMaxStates,
                    most_ > 1 ? fmt::format(": its largest repeat is at offset {}", offset_) : "");
  }

 private:
  std::string name_;
  int64_t most_ = 0;
  size_t offset_ = 0;
};

// Lays out steps from the end of an expression to its beginning, so that what comes next already exists.
class StepBuilder {
 public:
  StepBuilder(const RegexTree& tree, const Limits& limits) : tree_(tree), limits_(limits) {}

  uint32_t Accept() { return Add({Step::Kind::kAccept, kNone, {}}); }

  // Any characters, then `next`.
  uint32_t AnyChars(uint32_t next) {
    const uint32_t loop = Add({Step::Kind::kFork, kNone, {next}});
    const uint32_t body = Add({Step::Kind::kChars, kNone, {loop}});
    steps_[loop].next.push_back(body);
    return loop;
  }

  uint32_t Build(uint32_t node, uint32_t next) {
    const RegexNode& item = tree_.nodes[node];
    switch (item.kind) {
      case RegexNode::Kind::kChars:
        return Add({Step::Kind::kChars, node, {next}});
      case RegexNode::Kind::kSequence:
        for (size_t i = item.children.size(); i-- > 0;) next = Build(item.children[i], next);
        return next;
      case RegexNode::Kind::kChoice: {
        std::vector<uint32_t> entries;
        for (const uint32_t child : item.children) entries.push_back(Build(child, next));
        return Add({Step::Kind::kFork, kNone, std::move(entries)});
      }
      case RegexNode::Kind::kRepeat:
        return Repeat(item, next);
      case RegexNode::Kind::kStart:
        return Add({Step::Kind::kStart, node, {next}});
      case RegexNode::Kind::kEnd:
        return Add({Step::Kind::kEnd, node, {next}});
      case RegexNode::Kind::kWordBorder:
        return Add({Step::Kind::kWordBorder, node, {next}});
      case RegexNode::Kind::kNoWordBorder:
        return Add({Step::Kind::kNoWordBorder, node, {next}});
      case RegexNode::Kind::kLookahead:
      case RegexNode::Kind::kNotLookahead:
        return Add({Step::Kind::kLook, node, {next}});
      case RegexNode::Kind::kGroup:
        return Build(item.children[0], next);
      case RegexNode::Kind::kLookbehind:
      case RegexNode::Kind::kNotLookbehind:
      case RegexNode::Kind::kBackreference:
        THRONG_CHECK(false);  // refused
    }
    return next;
  }

  std::vector<Step> Take() { return std::move(steps_); }

 private:
  uint32_t Add(Step step) {
    limits_.Check(steps_.size(), 0, 0);
    steps_.push_back(std::move(step));
    return static_cast<uint32_t>(steps_.size() - 1);
  }

  uint32_t Repeat(const RegexNode& item, uint32_t next) {
    const uint32_t child = item.children[0];
    uint32_t entry = next;
    if (item.max == Grammar::kUnbounded) {
      entry = Add({Step::Kind::kFork, kNone, {next}});
      const uint32_t body = Build(child, entry);
      steps_[entry].next.push_back(body);
    } else {
      for (int64_t i = item.min; i < item.max; ++i) {
        const uint32_t body = Build(child, entry);
        if (body == entry) break;  // it matches only the empty text
        entry = Add({Step::Kind::kFork, kNone, {body, next}});
      }
    }
    for (int64_t i = 0; i < item.min; ++i) {
      const uint32_t body = Build(child, entry);
      if (body == entry) break;
      entry = body;
    }
    return entry;
  }

  const RegexTree& tree_;
  const Limits& limits_;
  std::vector<Step> steps_;
};

// The automaton of a lookahead, as it is followed by what comes after it.
struct Look {
  explicit Look(const Regular& texts) : texts(&texts), allows_all(texts.States().size()) {
    // A minimal automaton has one state, at most, that accepts whatever comes.
    for (uint32_t s = 0; s < texts.States().size(); ++s) {
      const Regular::State& state = texts.States()[s];
      CodePoints loops;
      for (const Regular::Edge& edge : state.edges) {
        const CodePoints& chars = texts.Classes()[edge.chars];
        if (edge.next == s) loops.insert(loops.end(), chars.begin(), chars.end());
      }
      allows_all[s] = state.accepts && Normalised(std::move(loops)) == Complement({});
    }
  }

  const Regular* texts;                     // deterministic
  std::vector<bool> allows_all;             // [state]
  std::vector<std::vector<uint32_t>> next;  // [state][class of the explorer]: a state, or kNone
};

// Lookaheads by their node and what is before them; the automata are deterministic and minimal.
using Looks = std::map<std::pair<uint32_t, Side>, Regular>;

// Follows all ways through the steps, anchors and lookaheads included, and makes an automaton of them.
class Explorer {
 public:
  Explorer(const std::vector<Step>& steps, const RegexTree& tree, const Limits& limits, bool asks_for_words,
           const Looks& looks)
      : steps_(steps),
        limits_(limits),
        asks_for_words_(asks_for_words),
        set_of_(steps.size()),
        mark_(steps.size()) {
    std::map<CodePoints, uint32_t> ids;
    const auto id_of = [&](const CodePoints& set) {
      return ids.try_emplace(set, static_cast<uint32_t>(ids.size())).first->second;
    };
    const uint32_t words = id_of(WordChars());
    const CodePoints any = Complement({});
    for (uint32_t s = 0; s < steps.size(); ++s) {
      if (steps[s].kind == Step::Kind::kChars)
        set_of_[s] = id_of(steps[s].node == kNone ? any : Normalised(tree.nodes[steps[s].node].chars));
    }
    std::set<uint32_t> used;  // lookaheads
    for (const Step& step : steps)
      if (step.kind == Step::Kind::kLook) used.insert(step.node);
    for (const auto& [key, texts] : looks) {
      if (used.count(key.first) == 0) continue;
      for (const CodePoints& chars : texts.Classes()) id_of(chars);
    }
    std::vector<CodePoints> sets(ids.size());
    for (const auto& [set, id] : ids) sets[id] = set;
    partition_ = PartitionOf(sets, limits.Name());
    is_word_.resize(partition_.classes.size());
    for (const uint32_t part : partition_.parts[words]) is_word_[part] = true;

    for (const auto& [key, texts] : looks) {
      if (used.count(key.first) == 0) continue;
      look_ids_[key] = static_cast<uint32_t>(looks_.size());
      Look& look = looks_.emplace_back(texts);
      look.next.assign(texts.States().size(), std::vector<uint32_t>(partition_.classes.size(), kNone));
      for (size_t s = 0; s < texts.States().size(); ++s) {
        for (const Regular::Edge& edge : texts.States()[s].edges)
          for (const uint32_t part : partition_.parts[id_of(texts.Classes()[edge.chars])])
            look.next[s][part] = edge.next;
      }
    }
  }

  Regular Explore(uint32_t entry, Side before) && {
    Reach({entry, before, {}});
    for (uint32_t i = 0; i < threads_.size(); ++i) {
      const Thread thread = threads_[i];
      Follow(i, thread, Side::kNothing);
      Follow(i, thread, Side::kOtherChar);
      if (asks_for_words_) Follow(i, thread, Side::kWordChar);
    }
    return {std::move(partition_.classes), std::move(states_)};
  }

 private:
  using Pending = std::vector<std::pair<uint32_t, uint32_t>>;  // lookaheads and their states, sorted
  struct Thread {
    uint32_t step;
    Side before;
    Pending pending;
    auto operator<=>(const Thread&) const = default;
  };

  uint32_t Reach(Thread thread) {
    const auto [found, is_new] = ids_.try_emplace(thread, static_cast<uint32_t>(threads_.size()));
    if (is_new) {
      threads_.push_back(std::move(thread));
      states_.emplace_back();
      limits_.Check(states_.size(), num_edges_, work_);
    }
    return found->second;
  }

  // All steps that can be taken from a thread without a character, if `after` comes next.
  void Follow(uint32_t id, const Thread& thread, Side after) {
    ++round_;
    seen_.clear();
    std::vector<std::pair<uint32_t, Pending>> stack = {{thread.step, thread.pending}};
    while (!stack.empty()) {
      auto [at, pending] = std::move(stack.back());
      stack.pop_back();
      if (pending.empty() ? std::exchange(mark_[at], round_) == round_ : !seen_.emplace(at, pending).second)
        continue;
      limits_.Check(states_.size(), num_edges_, ++work_);
      const Step& step = steps_[at];
      if (step.kind == Step::Kind::kChars) {
        if (after != Side::kNothing) Take(id, at, after, pending);
        continue;
      }
      if (step.kind == Step::Kind::kAccept) {
        if (after == Side::kNothing && AllAccept(pending)) states_[id].accepts = true;
        continue;
      }
      if (!Holds(step, thread.before, after, pending)) continue;
      for (const uint32_t next : step.next) stack.emplace_back(next, pending);
    }
  }

  bool AllAccept(const Pending& pending) const {
    return std::all_of(pending.begin(), pending.end(), [&](const auto& look) {
      return looks_[look.first].texts->States()[look.second].accepts;
    });
  }

  // Whether an assertion can hold here; a lookahead is added to those that are pending.
  bool Holds(const Step& step, Side before, Side after, Pending& pending) const {
    const bool is_border = (before == Side::kWordChar) != (after == Side::kWordChar);
    switch (step.kind) {
      case Step::Kind::kStart:
        return before == Side::kNothing;
      case Step::Kind::kEnd:
        return after == Side::kNothing;
      case Step::Kind::kWordBorder:
        return is_border;
      case Step::Kind::kNoWordBorder:
        return !is_border;
      case Step::Kind::kLook: {
        const uint32_t look = look_ids_.at({step.node, before});
        if (looks_[look].texts->Empty()) return false;
        Add(look, 0, pending);
        return true;
      }
      default:
        return true;
    }
  }

  void Add(uint32_t look, uint32_t state, Pending& pending) const {
    const std::pair<uint32_t, uint32_t> added = {look, state};
    if (looks_[look].allows_all[state]) return;
    const auto place = std::lower_bound(pending.begin(), pending.end(), added);
    if (place == pending.end() || *place != added) pending.insert(place, added);
  }

  // Edges for the characters of a step.
  void Take(uint32_t id, uint32_t at, Side after, const Pending& pending) {
    const Side before = asks_for_words_ ? after : Side::kOtherChar;
    for (const uint32_t part : partition_.parts[set_of_[at]]) {
      if (asks_for_words_ && is_word_[part] != (after == Side::kWordChar)) continue;
      Pending rest;
      const bool goes_on = std::all_of(pending.begin(), pending.end(), [&](const auto& look) {
        const uint32_t next = looks_[look.first].next[look.second][part];
        if (next != kNone) Add(look.first, next, rest);
        return next != kNone;
      });
      if (!goes_on) continue;
      const uint32_t next = Reach({steps_[at].next[0], before, std::move(rest)});
      limits_.Check(states_.size(), ++num_edges_, ++work_);
      states_[id].edges.push_back({part, next});
    }
  }

  const std::vector<Step>& steps_;
  const Limits& limits_;
  const bool asks_for_words_;
  std::vector<uint32_t> set_of_;  // [step]: of partition_
  Partition partition_;
  std::vector<bool> is_word_;  // [class]
  std::map<std::pair<uint32_t, Side>, uint32_t> look_ids_;
  std::vector<Look> looks_;

  std::map<Thread, uint32_t> ids_;
  std::vector<Thread> threads_;  // by state
  std::vector<Regular::State> states_;
  size_t num_edges_ = 0;
  size_t work_ = 0;
  std::vector<uint32_t> mark_;  // [step]: the round in which Follow saw it with nothing pending
  uint32_t round_ = 0;
  std::set<std::pair<uint32_t, Pending>> seen_;  // the others of the round
};

class Compiler {
 public:
  Compiler(std::string_view regex, std::string_view where)
      : tree_(ParseRegex(regex, where)), limits_(regex, where, tree_) {
    for (const RegexNode& node : tree_.nodes) {
      asks_for_words_ |=
          node.kind == RegexNode::Kind::kWordBorder || node.kind == RegexNode::Kind::kNoWordBorder;
      const bool is_reference = node.kind == RegexNode::Kind::kBackreference;
      const bool is_behind =
          node.kind == RegexNode::Kind::kLookbehind || node.kind == RegexNode::Kind::kNotLookbehind;
      if (!is_reference && !is_behind) continue;
      throw MakeError(ErrorCode::kUnsupported, "{} has a {} at offset {}, which cannot be constrained",
                      limits_.Name(), is_reference ? "backreference" : "lookbehind", node.offset);
    }
    // Lookaheads stand before those that they are part of.
    for (uint32_t node = 0; node < tree_.nodes.size(); ++node) {
      const RegexNode& item = tree_.nodes[node];
      const bool is_not = item.kind == RegexNode::Kind::kNotLookahead;
      if (!is_not && item.kind != RegexNode::Kind::kLookahead) continue;
      for (const Side before : {Side::kNothing, Side::kOtherChar, Side::kWordChar}) {
        if (before == Side::kWordChar && !asks_for_words_) continue;
        const Regular texts = Texts(item.children[0], before, /*any_before=*/false, /*any_after=*/true);
        looks_[{node, before}] =
            is_not ? Complement(texts, limits_.Name()) : Deterministic(texts, limits_.Name());
      }
    }
  }

  Regular Texts(bool search) const {
    Regular texts = Reduced(Texts(tree_.root, Side::kNothing, search, search));
    if (texts.States().size() > kMaxUndetermined && !IsDeterministic(texts)) limits_.ThrowTooLarge();
    return texts;
  }

 private:
  Regular Texts(uint32_t node, Side before, bool any_before, bool any_after) const {
    StepBuilder builder(tree_, limits_);
    uint32_t entry = builder.Accept();
    if (any_after) entry = builder.AnyChars(entry);
    entry = builder.Build(node, entry);
    if (any_before) entry = builder.AnyChars(entry);
    const std::vector<Step> steps = builder.Take();
    return Explorer(steps, tree_, limits_, asks_for_words_, looks_).Explore(entry, before);
  }

  RegexTree tree_;
  Limits limits_;
  bool asks_for_words_ = false;
  Looks looks_;  // of the nodes so far
};

}  // namespace

Regular PatternTexts(std::string_view pattern, std::string_view where) {
  return Compiler(pattern, where).Texts(/*search=*/true);
}

Regular RegexTexts(std::string_view regex, std::string_view where) {
  return Compiler(regex, where).Texts(/*search=*/false);
}

}  // namespace throng::llm
