// Meetings: which people talk with each other, what they say, and what they remember of it.

#include <algorithm>

#include "base/error.h"
#include "town/town_world.h"

namespace throng::town {
namespace {

using sim::AgentId;
using sim::Step;

// Questions and greetings fade, appointments stay.
int ImportanceOf(const std::string& text) {
  for (size_t i = 0; i + 5 <= text.size(); ++i) {
    if (ParseClock(std::string_view(text).substr(i, 5))) return 7;
  }
  return text.ends_with('?') ? 3 : 4;
}

std::vector<Draft> DraftsOf(const std::vector<sim::Member>& members) {
  std::vector<Draft> drafts;
  for (const sim::Member& member : members) {
    const auto& intent = static_cast<const TownIntent&>(*member.intent);
    drafts.push_back(intent.draft);
    if (!intent.idle) continue;
    drafts.back().mind = static_cast<const TownMind&>(*member.mind);
    drafts.back().body = member.body;
  }
  return drafts;
}

}  // namespace

// In order of ids, each agent that wants to talk is paired with the other one, if that agent is still free
// and agrees. An agent that has not considered the other in this step is asked now.
sim::Task<std::vector<TownWorld::Pair>> TownWorld::FindPairs(Step step,
                                                             const std::vector<sim::Member>& members,
                                                             sim::Commit& commit,
                                                             std::vector<Draft>& drafts) const {
  std::vector<Pair> pairs;
  for (size_t i = 0; i < members.size(); ++i) {
    if (!drafts[i].free || !drafts[i].wants) continue;
    const AgentId self = members[i].id;
    const AgentId other = *drafts[i].thought_about;
    const auto found = std::find_if(members.begin(), members.end(),
                                    [&](const sim::Member& member) { return member.id == other; });
    // An agent in sight is in the same cluster, except in a step that runs on a guess: that step is given up.
    if (found == members.end()) {
      throw MakeError(ErrorCode::kInvalid,
                      "agent {} wants to talk with agent {}, which does not run this step", self, other);
    }
    const auto j = static_cast<size_t>(found - members.begin());
    if (!drafts[j].free) continue;
    bool agrees = drafts[j].wants;
    if (drafts[j].thought_about != self) {
      if (!MayConsider(drafts[j].mind, self, step)) continue;
      agrees =
          co_await AskWhetherToTalk(other, self, members[i].body, step, commit.CallerOf(other), drafts[j]);
    }
    if (!agrees) continue;
    drafts[i].free = drafts[j].free = false;
    pairs.push_back({i, j});
  }
  co_return pairs;
}

sim::Task<TownWorld::TalkResult> TownWorld::Converse(Step step, const std::vector<sim::Member>& members,
                                                     Pair pair, sim::Commit& commit,
                                                     std::vector<Draft>& drafts) const {
  TalkResult result;
  for (int turn = 0; turn < content_.settings.max_turns; ++turn) {
    const bool by_first = turn % 2 == 0;
    const size_t speaker = by_first ? pair.first : pair.second;
    const AgentId id = members[speaker].id;
    const std::string& other = PersonaOf(members[by_first ? pair.second : pair.first].id).name;
    std::vector<Utterance> so_far;
    for (const Line& line : result.lines) so_far.push_back({line.by_first == by_first, line.text});
    const Step now = step + turn * content_.settings.steps_per_turn;
    std::string about = SayQuery(other, so_far);
    const std::optional<Embedding> query =
        co_await Embed(id, std::move(about), commit.CallerOf(id), drafts[speaker]);
    llm::Request request = Prompt(id, drafts[speaker].mind, now, HiddenAt(step), query,
                                  [&](const Scene& scene) { return AskSay(scene, other, so_far); });
    const llm::Completion completion = co_await commit.CallerOf(id).Ask(std::move(request));
    const std::optional<Said> said = ParseSaid(completion.text);
    if (!said) {
      result.fallback =
          sim::Event{id, "fallback", FallbackText(Decision::kSay, completion), sim::CallOf(completion)};
      break;
    }
    result.lines.push_back({by_first, said->text, sim::CallOf(completion)});
    if (said->end && turn > 0) break;
  }
  co_return result;
}

void TownWorld::Remember(Step step, const std::vector<sim::Member>& members, Pair pair,
                         const TalkResult& result, std::vector<Draft>& drafts) const {
  const AgentId ids[] = {members[pair.first].id, members[pair.second].id};
  Draft* const both[] = {&drafts[pair.first], &drafts[pair.second]};
  if (result.fallback) both[result.fallback->agent == ids[0] ? 0 : 1]->events.push_back(*result.fallback);
  if (result.lines.empty()) return;
  both[0]->events.push_back({ids[0], "talk", "with " + PersonaOf(ids[1]).name});
  const int per_turn = content_.settings.steps_per_turn;
  for (size_t i = 0; i < result.lines.size(); ++i) {
    const Line& line = result.lines[i];
    const int speaker = line.by_first ? 0 : 1;
    const int32_t minute = MinuteAt(step + static_cast<Step>(i) * per_turn);
    const std::string& name = PersonaOf(ids[speaker]).name;
    const std::string& other = PersonaOf(ids[1 - speaker]).name;
    both[0]->events.push_back({ids[speaker], "say", "to " + other + ": " + line.text, line.call});
    both[speaker]->mind.memories.Append(step, minute, MemoryKind::kSaid, 2,
                                        "You said to " + other + ": " + line.text);
    both[1 - speaker]->mind.memories.Append(step, minute, MemoryKind::kHeard, ImportanceOf(line.text),
                                            name + " said: " + line.text);
  }
  for (int k = 0; k < 2; ++k) {
    TownMind& mind = both[k]->mind;
    Contact contact = mind.ContactOf(ids[1 - k]);
    contact.considered = contact.talked = step;
    mind.SetContact(contact);
    mind.busy_until = step + 1 + static_cast<Step>(result.lines.size()) * per_turn;
    mind.quiet_until = mind.busy_until + StepsOf(content_.settings.rest_minutes);
    both[k]->mind_changed = true;
    both[k]->body.pos = members[k == 0 ? pair.first : pair.second].body.pos;
    both[k]->body.status = "talk with " + PersonaOf(ids[1 - k]).name;
  }
}

sim::Task<void> TownWorld::Resolve(Step step, const std::vector<sim::Member>& members,
                                   sim::Commit& commit) const {
  std::vector<Draft> drafts = DraftsOf(members);
  const std::vector<Pair> pairs = co_await FindPairs(step, members, commit, drafts);
  if (!pairs.empty()) {
    // Different people talk, so the talks can run at once; their changes wait until all have ended.
    std::vector<sim::Task<TalkResult>> talks;
    for (const Pair pair : pairs) talks.push_back(Converse(step, members, pair, commit, drafts));
    const std::vector<TalkResult> results = co_await sim::WhenAll(std::move(talks));
    for (size_t i = 0; i < pairs.size(); ++i) Remember(step, members, pairs[i], results[i], drafts);
  }
  for (size_t i = 0; i < members.size(); ++i) {
    if (drafts[i].body != members[i].body) commit.SetBody(members[i].id, drafts[i].body);
    if (drafts[i].mind_changed) commit.SetMind(members[i].id, TownMind::Seal(std::move(drafts[i].mind)));
    for (sim::Event& event : drafts[i].events) commit.AddEvent(std::move(event));
  }
}

}  // namespace throng::town
