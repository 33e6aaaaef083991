// The journal of a run: one SQLite file (WAL mode), or a schema in a PostgreSQL database, that holds every
// answer of the backend as it arrived, and everything that happened. Resuming a run means running it again
// with these answers, so nothing else needs to be restored; snapshots only make it start sooner. One process
// writes; others may read meanwhile.
//
// Readers use the views of docs/journal-format.md: calls, events, agents, steps and others. Below them are
// these tables, all keyed by step and agent, never by order of execution, so that two runs of one world can
// be compared:
// clang-format off
//   manifest(key, value)               what the run is: see JournalKeys
//   files(name, bytes, digest, content)  what it was made from; content is null for models and recorded days
//   sessions(id, started, ended, outcome, program, machine, backend, first_step, parameters)*  each start of the
//                                      program on this journal, UTC; ended is empty while it runs; first_step: where
//                                      all agents were; parameters: JSON of the manifest's values that it changed
//   starts(agent, name, x, y, status)  state at the start of the run
//   answers(step, agent, call, function, digest, finish, text, prompt_tokens, output_tokens, cached_tokens*,
//           attempts*, spent_prompt_tokens*, spent_output_tokens*, issued_s*, arrived_s*, session*, server*,
//           settings, system, prompt, error_code)  digest: of the request; finish: 0 stop, 1 length, 2 failed (text: why);
//                                      system, prompt: JSON lists of runs of parts; null if empty or not kept;
//                                      finish: 3 a tool failed, 4 unknown (text: why)
//   intentions(step, agent, call, kind, effect, function, digest, begun*, session*, arguments)  what was asked of others
//                                      than models: kind, effect: llm::Kind, llm::Effect; of effects at commit, from
//                                      before they were begun; begun: UTC; arguments: as prompt
//   spent_cached(step, agent, call, tokens)*  of the answer's spent_prompt_tokens, those found in a cache, if any
//   used_memories(step, agent, call, seq, made, memory, text)  what of the agent's memory a prompt holds: seq counts those
//                                      of the call; made, memory: llm::UsedMemory; text: as prompt
//   questions(step, agent, call, question, choices, answer)*  to people, as somebody in another process sees and answers
//                                      them; choices: JSON; answer: null until then
//   question_times(step, agent, call, asked)*  when each of them was asked first; asked: UTC
//   parts(id, text)                    pieces of prompts, each once (question_store.h)
//   settings(id, ...)                  constraint, sampling, stop strings and length of answers
//   constraints(settings, grammar, regex)  those of settings that have one of these
//   servers(id, name)                  what answered, in its own words
//   commits(step, first, members, digest)  one row per cluster; first: its smallest id; members: "3,7,9"
//   bodies(step, agent, x, y, status)  changes only; the state at the start of `step`
//   cells(step, x, y, value)           changes only; the state at the start of `step`
//   chronicle(step, agent, seq, kind, text, call)  events; seq counts the agent's in that step; call: sim::Event
//   presence(step, agent, present)     changes only; whether the agent is in the world at the start of `step`
//   interventions(id, asked*, step, what)  asked: the earliest step requested, if any; step: when it happens, empty until
//                                      the run has decided
//   pauses(asked, begun, ended)*       UTC: when somebody asked the run to stand still, when it began to and when the pause
//                                      ended; both empty until then
//   progress(session, s, steps)*       how many steps agents had done at a moment; s: on the backend's clock; steps: JSON
//                                      [agent, steps, ...], of those that went on since the row before (moments.h)
//   guesses(session, step, agent, call, function, issued_s, arrived_s, used)*  calls that were asked ahead; used: 1 the step
//                                      asked the same, and its answer is in answers; 0 it did not: arrived_s is when
//                                      the answer came, or when it was given up
//   in_flight(session, s, told, calls)*  what the session that goes on waits for, as it last told: at s on the backend's
//                                      clock, at told (UTC); calls: JSON, a list of in_flight.h
//   hashes(step, hash)                 steps that all agents have finished
//   collected(step, agent, name, value)  see AddDatum; agent -1: of the whole model
//   snapshots(step, made, program, minds, bytes, digest)*  states at the start of `step`, from which the run can go
//                                      on; made: UTC; minds: World::MindForm; digest: of the content (snapshots.h)
//   snapshot_parts(step, part, content)*  their bytes
// clang-format on
// Everything marked * depends on time and is left out of the canonical digest, as are ids, files and data.
//
// Rows are added in causal order and transactions keep that order: whatever part of the file survives,
// everything it depends on survives too. An answer is committed before its agent sees it. A killed process
// loses nothing that was committed; a power failure may lose a file's last seconds (not with sync_always),
// and the resumed run makes those calls again. A writer whose database is away waits for it (WaitForDatabase)
// and then repeats its open transaction. An effect at commit is begun only once its intention is on the disk.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/digest.h"
#include "journal/in_flight.h"
#include "journal/moments.h"
#include "llm/llm.h"
#include "sim/run/run.h"

namespace throng::journal {

using Manifest = std::map<std::string, std::string>;

// Manifest keys; programs add those they need to start the run again.
struct JournalKeys {
  static constexpr const char* kProgram = "program";  // version of the program that made the journal
  static constexpr const char* kCommit = "commit";  // of its source; "unknown" if not built from a repository
  static constexpr const char* kMachine = "machine";    // processor, threads, operating system
  static constexpr const char* kWorld = "world";        // World::Name
  static constexpr const char* kScenario = "scenario";  // World::ScenarioDigest
  static constexpr const char* kBackend = "backend";    // Llm::Identity
  static constexpr const char* kAgents = "agents";
  static constexpr const char* kSteps = "steps";
  static constexpr const char* kSeed = "seed";
  static constexpr const char* kMode = "mode";
  static constexpr const char* kCoupling = "coupling";
  static constexpr const char* kSecondsPerStep = "seconds_per_step";  // simulated, if steps have a length
  static constexpr const char* kStart = "start";                      // time of day of step 0, "07:00"
  static constexpr const char* kMap = "map";          // map for viewers, if only its program knows the world
  static constexpr const char* kPrompts = "prompts";  // "on" or "off": whether they are kept
  static constexpr const char* kLanguage = "language";  // of the world's code; none: this program can load it
  static constexpr const char* kForks = "forks";        // one line "STEP of PATH" per fork it descends from
  static constexpr const char* kHash = "hash";          // hash of the whole run, once it is complete
  static constexpr const char* kTokensInVain = "tokens_in_vain";  // "PROMPT,OUTPUT": see SetTokensInVain
};

struct JournalOptions {
  bool sync_always = false;  // survive power loss too: wait for the disk after every group of answers
  bool keep_prompts = true;  // of a new journal; later ones do as the journal says
};

struct JournaledAnswer {
  Digest digest;  // of the request
  llm::Completion completion;
  bool is_of_this_session = false;
};

struct AnsweredCall {
  llm::CallKey key;
  std::string function;
  double issued_s;  // both on the backend's clock
  double arrived_s;
};

// A call that was asked, as the journal knows it: the digest of the request, and the rows that hold it.
struct AskedCall {
  struct Memory {
    int64_t made;
    int64_t number;
    std::string text;  // as prompt
  };
  std::string function;
  Digest digest;
  llm::Kind kind = llm::Kind::kModel;
  llm::Effect effect = llm::Effect::kPure;
  int64_t settings = 0;
  std::string system;  // lists of parts; empty: not kept
  std::string prompt;
  std::vector<Memory> memories;
};

// A state of the run that was kept, so that it can go on from there.
struct SnapshotRow {
  sim::Step step;
  std::string made;     // UTC
  std::string program;  // version and commit
  std::string minds;    // World::MindForm
  int64_t bytes;
  Digest digest;
};

// No value, a number or a text. Not-a-number counts as no value.
using DataValue = std::variant<std::monostate, int64_t, double, std::string>;

class Database;
class Statement;
enum class Access;

class Journal final : public sim::RunObserver, public sim::InterventionSource {
 public:
  static constexpr int kFormatVersion = 3;

  // place: see store/place.h. Opening throws kIo too if it cannot be reached, and kUnsupported if this
  // program was built without PostgreSQL.
  static bool Exists(const std::string& place);
  // Throws kInvalid if it exists. A journal closed before Begin leaves nothing.
  static std::unique_ptr<Journal> Create(const std::string& place, const JournalOptions& options = {});
  // Creates a journal with what happened in `original` before step `at`, which all agents have reached: a run
  // on it repeats those steps with the recorded answers, then continues. Copies the interventions up to the
  // start of that step, and with later_interventions also the later ones. Throws kInvalid if `at` is beyond
  // what the original has.
  static std::unique_ptr<Journal> CreateFork(const std::string& place, const Journal& original, sim::Step at,
                                             Manifest manifest, bool later_interventions = true);
  // Creates a journal with all that `original` has at this moment, whose run may go on: to take it from a
  // database into a file, or the other way.
  static void Copy(const std::string& place, const Journal& original);
  // Open a journal to continue writing, or only to read beside a running program. Throw kIo, kCorrupt
  // (foreign or damaged), kUnsupported (another format) or kUnavailable (a running program writes it).
  static std::unique_ptr<Journal> OpenToWrite(const std::string& place, const JournalOptions& options = {});
  static std::unique_ptr<Journal> OpenToRead(const std::string& place);

  ~Journal() override;

  // From now on, a database that is away is waited for, so long each time. stop: ends the wait, may be null;
  // on_wait: told of each in one sentence; not set: it is logged.
  void WaitForDatabase(double max_wait_s, const std::atomic<bool>* stop,
                       std::function<void(const std::string&)> on_wait);

  const std::string& Path() const { return path_; }  // its place
  const Manifest& GetManifest() const { return manifest_; }
  // Throws kCorrupt if the manifest has no such key.
  const std::string& ManifestValue(const std::string& key) const;

  sim::Seeds GetSeeds() const;  // throws kCorrupt if the manifest has no valid ones

  // Call this first on a new journal: fills in what the world and the options say, and writes the agents.
  void Begin(Manifest manifest, const sim::World& world, const sim::RunOptions& options,
             const std::string& backend);

  // Call this before Begin on a new journal: keeps a file that the run is made from, with its content or
  // without.
  void AddFile(const std::string& name, int64_t bytes, const Digest& digest,
               const std::optional<std::string>& content);

  // Whether a run of so many steps is complete: it can be repeated from the answers, but nothing is left to
  // be asked.
  bool IsDone(sim::Step steps) const;

  // Call this on a resumed journal: the manifest takes over these values and the mode, unless IsDone. A later
  // end than the journal's extends the run. Throws kInvalid if the world, the seeds or, unless other_backend
  // allows it, the backend differ from those it was begun with, or if the end is earlier.
  void Continue(const Manifest& parameters, const sim::World& world, const sim::RunOptions& options,
                const std::string& backend, bool other_backend = false);

  // Makes the run end with these steps, which all agents have done: drops what happened later, but keeps the
  // answers of later calls.
  void EndAt(sim::Step steps);

  // Asks this journal's run for an intervention at step `at`, or at the first step that no agent has begun
  // if that is later. The run may go on, in another process or on any thread of this one, or takes the
  // intervention when it is resumed.
  static void Inject(const std::string& place, sim::Step at, const std::string& what);
  // Asks this journal's run, which goes on in another process, to stand still, or to go on. Asking for what
  // is already so changes nothing. Throws kInvalid if the run is done or stopped.
  static void SetPaused(const std::string& place, bool paused);
  bool IsPaused() override;  // notes when the pause began
  // Interventions whose steps are decided, by step: for RunOptions.
  std::vector<sim::Intervention> Interventions() const;
  // Decides the step of each pending intervention and returns them. No agent has begun that step, not even
  // before a resume.
  std::vector<sim::Intervention> Take(sim::Step first) override;

  void StartSession();                        // call this after Begin or Continue, whose values it records
  void EndSession(std::string_view outcome);  // "done", "stopped", or an error's message

  std::optional<JournaledAnswer> FindAnswer(const llm::CallKey& key);
  std::vector<AnsweredCall> CallsBefore(sim::Step step) const;  // by step, agent and call
  // Keeps what is asked, but for prompts that are not to be kept.
  AskedCall AddQuestion(const llm::Request& request);
  // A failed completion is kept with its message, for runs whose agents fall back.
  void AddAnswer(const llm::Completion& completion, const AskedCall& asked, double issued_s,
                 double arrived_s);

  // The digest of the request under this key that is an effect at commit and was begun; nothing: none was.
  std::optional<Digest> FindIntention(const llm::CallKey& key);
  // Returns once it is on the disk that this effect at commit is about to be begun.
  void AddIntention(const llm::CallKey& key, const AskedCall& asked);
  // Of an effect that was not begun after all.
  void DropIntention(const llm::CallKey& key);

  // From now on keeps when agents do their steps, on this backend's clock; it must outlive the session.
  void KeepMoments(const llm::Llm& clock);
  // A call that was asked on a guess in this session, and used or not.
  void AddGuess(const llm::CallKey& key, const std::string& function, double issued_s, double arrived_s,
                bool used);

  // Tells readers what this session waits for at `s` on the backend's clock, instead of what it told before;
  // they see it after the next Flush. Does nothing outside of a session.
  void TellInFlight(double s, std::vector<CallInFlight> calls);

  // Keeps a value collected after a step that all agents have done, of an agent or (null) of the whole model.
  // Rows that exist already (in a resumed run) must be equal: throws kInvalid naming step, agent and name if
  // not.
  void AddDatum(sim::Step step, std::optional<sim::AgentId> agent, std::string_view name,
                const DataValue& value);

  // What snapshots.h writes, one for each step. `minds`: World::MindForm.
  void AddSnapshot(sim::Step step, std::string_view minds, std::string_view bytes);
  std::vector<SnapshotRow> Snapshots() const;  // by step
  // Throws kCorrupt unless the bytes are those that were added.
  std::string SnapshotBytes(const SnapshotRow& snapshot) const;
  std::vector<Digest> StepHashes(sim::Step count) const;  // of the first steps

  // Rows that exist already (in a resumed run) must be equal: throws kInvalid naming step and agent if not.
  void OnCommit(const sim::CommitRecord& record) override;
  void OnStep(sim::Step step, const Digest& hash) override;
  void OnIntervention(const sim::InterventionRecord& record) override;
  void SetHash(const Digest& hash);
  // Tokens that all sessions used but no answer here accounts for: those of wrong guesses.
  void SetTokensInVain(uint64_t prompt, uint64_t output);

  // Makes everything added so far durable.
  void Flush();

  int64_t Bytes() const;  // size of the file and its write-ahead log, or of the tables
  int64_t NumAnswers() const;
  int64_t NumToolUses() const;
  sim::Step NumSteps() const;  // steps that all agents have finished
  Digest CanonicalDigest() const;
  Database& GetDatabase() const { return *database_; }

 private:
  struct Statements;
  using KnownCommits = std::map<sim::AgentId, Digest>;                      // by their smallest id
  using DataOfStep = std::map<std::pair<int64_t, std::string>, DataValue>;  // by agent and name

  Journal(const std::string& place, Access access);
  void ReadManifest();
  void CopyRows(Statement& from, const std::string& table);
  // original_path: of a file, if this is one too.
  void CopyPlainParts(const Journal& original, const std::string& original_path, sim::Step at);
  void LookBack();
  const KnownCommits& CommitsOf(sim::Step step);
  // Throws kInvalid if the journal has this step with another outcome.
  bool IsKnown(const sim::CommitRecord& record);
  DataOfStep& DataOf(sim::Step step);
  void SetManifest(const std::string& key, const std::string& value);
  void CheckSame(const sim::World& world, const sim::RunOptions& options, const std::string& backend,
                 bool other_backend) const;
  void WriteIntention(const llm::CallKey& key, const AskedCall& asked);
  void EndPauses();
  void ForgetInFlight();
  void WriteMoments(const std::optional<Moments::Row>& row);
  void Touch();  // opens a transaction for the next write
  void WriteStart(const sim::World& world, const std::vector<sim::Intervention>& interventions);
  void WriteCommit(const sim::CommitRecord& record);
  void WritePresence(sim::Step step, sim::AgentId agent, bool present);

  std::string path_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<Statements> statements_;
  std::unique_ptr<Moments> moments_;  // null: none are kept
  Manifest manifest_;
  Manifest changed_;           // since the last session began
  int64_t session_ = 0;        // 0: none goes on
  sim::Step known_steps_ = 0;  // these three: that have rows from before, which what is done again must equal
  sim::Step known_commits_end_ = 0;
  sim::Step known_data_end_ = 0;
  sim::Step data_step_ = -1;  // whose data_ are
  DataOfStep data_;
  std::map<sim::Step, KnownCommits> known_commits_;  // of steps that are being done again
  bool sync_always_ = false;
  bool keep_prompts_ = true;
  bool new_ = false;  // created but not begun
  bool in_transaction_ = false;
  int64_t rows_pending_ = 0;
};

}  // namespace throng::journal
