// The rules of the town: when people wake, decide, walk, meet, talk, reflect and sleep.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "town/content/content.h"
#include "town/mind/decide.h"
#include "town/mind/mind.h"
#include "town/town.h"

namespace throng::town {

// One member's step: first its own actions (from Proceed), then the effects of meetings (from Resolve).
struct Draft {
  TownMind mind;
  bool mind_changed = false;
  sim::Body body;
  std::vector<sim::Event> events;
  bool free = false;                          // may be drawn into a talk
  std::optional<sim::AgentId> thought_about;  // agent it asked itself about in this step
  bool wants = false;                         // whether it would talk to thought_about
};

struct TownIntent : sim::Intent {
  bool idle = true;  // asleep or talking: the draft is unused
  Draft draft;
};

constexpr int kDayMinutes = 24 * 60;
constexpr const char* kSleep = "sleep";

class TownWorld final : public Town {
 public:
  TownWorld(Content content, uint32_t agents, const LoadOptions& options);

  std::string Name() const override { return content_.settings.name; }
  Digest ScenarioDigest() const override;
  const sim::Space& GetSpace() const override { return space_; }
  sim::Rules GetRules() const override;
  uint32_t NumAgents() const override { return num_agents_; }
  std::string AgentName(sim::AgentId agent) const override;
  sim::Body StartBody(sim::AgentId agent) const override;
  sim::MindPtr StartMind(sim::AgentId agent) const override;
  std::string MindForm() const override { return TownMind::kForm; }
  sim::MindPtr ReadMind(sim::AgentId, ByteReader& in) const override { return TownMind::Read(in); }
  bool StartsPresent(sim::AgentId agent) const override;
  std::vector<sim::Announcement> Announcements() const override;
  void Intervene(const std::string& what, sim::Change& change) const override;
  void CheckIntervention(const std::string& what) const override;
  sim::Lookahead Declare(sim::AgentId agent, sim::Step step, const sim::Body& body,
                         const sim::MindPtr& mind) const override;
  Expectation Expect(sim::AgentId agent, sim::Step step, const sim::Body& body, const sim::MindPtr& mind,
                     sim::Step later) const override;
  sim::Task<sim::IntentPtr> Proceed(const sim::View& view, sim::Caller& caller) const override;
  sim::Task<void> Resolve(sim::Step step, const std::vector<sim::Member>& members,
                          sim::Commit& commit) const override;

  sim::Step DefaultSteps() const override;
  int SecondsPerStep() const override { return content_.settings.seconds_per_step; }
  const std::vector<ScenarioFile>& Files() const override { return content_.files; }
  std::string ClockAt(sim::Step step) const override { return ClockText(MinuteAt(step)); }
  sim::Step StepAt(const std::string& clock) const override;
  std::string MapJson() const override;
  sim::AgentId FindAgent(const std::string& name) const override;
  llm::Request Interview(sim::AgentId agent, const sim::MindPtr& mind, sim::Step step,
                         const std::string& question, const Hidden& hidden,
                         const EmbedNow& embed) const override;
  llm::Request Judge(sim::AgentId agent, const sim::MindPtr& mind, sim::Step step,
                     const std::string& question, const std::string& answer,
                     const EmbedNow& embed) const override;
  std::string DescribeMind(sim::AgentId agent, const sim::MindPtr& mind, bool as_json) const override;

 private:
  struct Copy {  // position of one copy of the town in the world
    int32_t x;
    int32_t y;
  };
  struct Pair {
    size_t first;  // indices of members; the first one speaks first
    size_t second;
  };
  struct Line {
    bool by_first;
    std::string text;
    int call;  // the speaker's
  };
  using Talk = std::vector<Line>;
  // Uses of personal numbers.
  enum Matter : uint64_t { kWakeMatter, kActMatter, kSpotMatter, kStrollMatter, kActivityMatter };
  struct Happening {  // an intervention
    enum Kind { kArrival, kDeparture, kTold, kAnnounced, kSight } kind;
    sim::AgentId agent = 0;
    PlaceId place = 0;
    int minutes = 0;
    std::string text;
  };
  struct TalkResult {
    Talk lines;
    std::optional<sim::Event> fallback;
  };

  const Persona& PersonaOf(sim::AgentId agent) const;
  Copy CopyOf(sim::AgentId agent) const;
  sim::Pos ToLocal(sim::AgentId agent, sim::Pos pos) const;
  sim::Pos ToWorld(sim::AgentId agent, sim::Pos pos) const;
  int RegionOf(sim::AgentId agent, PlaceId place) const;
  int RoomAt(sim::Pos local) const;  // the region whose floor this is; else Map::kNoRegion

  Hidden HiddenAt(sim::Step step) const;
  // What `ask` makes of the scene that an agent's prompt shows, without what is hidden. query: as in Scene.
  template <typename Ask>
  llm::Request Prompt(sim::AgentId agent, const TownMind& mind, sim::Step step, const Hidden& hidden,
                      const std::optional<Embedding>& query, const Ask& ask) const {
    const int32_t minute = MinuteAt(step);
    const Embedding* const of_query = query ? &*query : nullptr;
    if (hidden.IsEmpty()) return ask(Scene{content_, PersonaOf(agent), mind, minute, of_query});
    const TownMind known = Without(mind, hidden);
    const Persona persona = Without(PersonaOf(agent), hidden);
    return ask(Scene{content_, persona, known, minute, of_query});
  }
  int32_t MinuteAt(sim::Step step) const;
  sim::Step StepsOf(int minutes) const;  // at least one
  int WakeMinute(sim::AgentId agent, int32_t day) const;
  bool IsBedtime(sim::AgentId agent, int32_t minute) const;
  sim::Step FirstStepAt(int32_t minute) const;
  sim::Step NextWakeStep(sim::AgentId agent, const TownMind& mind, sim::Step step) const;
  int32_t StrollOffset(sim::AgentId agent) const;  // how many minutes early its strolls begin
  size_t SpotOf(sim::AgentId agent, const TownMind& mind, int32_t minute) const;
  // The first step at which the spot it walks to may change.
  sim::Step NextTurnStep(sim::AgentId agent, const TownMind& mind, sim::Step step) const;
  sim::Step NextActStep(sim::AgentId agent, sim::Step step) const;
  // A number below n, fixed for this agent, matter and time.
  uint64_t Personal(sim::AgentId agent, uint64_t matter, int64_t time, uint64_t n) const;
  std::string UsualActivity(sim::AgentId agent, PlaceId place, int32_t minute) const;
  std::string StatusOf(const TownMind& mind) const;
  void Retire(TownMind& mind) const;  // from now on it goes to bed
  PlaceId PlannedPlace(const TownMind& mind, sim::Step step) const;
  // Sends the agent to this place next, to do what its plan says or what is usual there.
  void SetGoal(sim::AgentId agent, TownMind& mind, PlaceId place, sim::Step step) const;
  static bool FallsAsleep(const TownMind& mind, sim::Pos here, sim::Pos next);

  // The parts of Proceed, in order.
  sim::Task<void> WakeUp(const sim::View& view, sim::Caller& caller, Draft& draft) const;
  sim::Task<void> GoToBed(const sim::View& view, sim::Caller& caller, Draft& draft) const;
  sim::Task<void> ChooseGoal(const sim::View& view, sim::Caller& caller, Draft& draft) const;
  sim::Task<void> ConsiderTalk(const sim::View& view, sim::Caller& caller, Draft& draft) const;
  void Walk(const sim::View& view, Draft& draft) const;
  void LookAround(const sim::View& view, Draft& draft) const;

  Happening ParseHappening(const std::string& what) const;  // throws kInvalid
  void Arrive(const Happening& happening, sim::Change& change) const;
  void Show(const Happening& happening, sim::Change& change) const;
  void Hear(const sim::View& view, Draft& draft) const;
  void Notice(const sim::View& view, Draft& draft) const;

  std::vector<sim::Neighbour> InSight(const sim::View& view) const;
  bool MayConsider(const TownMind& mind, sim::AgentId other, sim::Step step) const;
  // The embedding of what a decision is about, once the mind's memories have theirs; nothing if the town does
  // not embed, or had no answer, which is an event.
  sim::Task<std::optional<Embedding>> Embed(sim::AgentId agent, std::string query, sim::Caller& caller,
                                            Draft& draft) const;
  sim::Task<bool> AskWhetherToTalk(sim::AgentId agent, sim::AgentId other, const sim::Body& other_body,
                                   sim::Step step, sim::Caller& caller, Draft& draft) const;

  // The parts of Resolve.
  sim::Task<std::vector<Pair>> FindPairs(sim::Step step, const std::vector<sim::Member>& members,
                                         sim::Commit& commit, std::vector<Draft>& drafts) const;
  sim::Task<TalkResult> Converse(sim::Step step, const std::vector<sim::Member>& members, Pair pair,
                                 sim::Commit& commit, std::vector<Draft>& drafts) const;
  void Remember(sim::Step step, const std::vector<sim::Member>& members, Pair pair, const TalkResult& result,
                std::vector<Draft>& drafts) const;

  Content content_;
  uint32_t num_agents_;
  const bool embeds_;
  const std::vector<HiddenFrom> hidden_;  // ascending by step
  int32_t columns_;                       // copies of the town per row
  sim::Space space_;
  sim::IntentPtr idle_;  // intent of agents that do nothing in a step
};

}  // namespace throng::town
