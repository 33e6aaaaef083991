// When the run was to stand still. Somebody in another process asks for a pause and ends it; the run says
// when it began.

#include "base/error.h"
#include "journal/journal.h"
#include "journal/store/clock.h"
#include "journal/store/database.h"

namespace throng::journal {

namespace {

constexpr const char* kEnd = "UPDATE pauses SET ended = ? WHERE ended = ''";

// A program that was killed looks like one that runs: the next one ends the pause.
void CheckRuns(const Journal& journal) {
  if (journal.GetManifest().contains(JournalKeys::kHash)) {
    throw MakeError(ErrorCode::kInvalid, "journal {}: the run is done; allowed: to pause one that goes on",
                    journal.Path());
  }
  Statement last(journal.GetDatabase(), "SELECT ended FROM sessions ORDER BY id DESC LIMIT 1");
  bool is_stopped = true;
  while (last.Step()) is_stopped = !last.Text(0).empty();
  if (!is_stopped) return;
  throw MakeError(ErrorCode::kInvalid,
                  "journal {0}: no program runs it, so there is nothing to pause; allowed: throng resume {0}",
                  journal.Path());
}

}  // namespace

void Journal::SetPaused(const std::string& place, bool paused) {
  CheckRuns(*OpenToRead(place));
  Database database(place, Access::kBeside);
  const std::string now = NowUtc();
  if (!paused) return Statement(database, kEnd).Bind(std::string_view(now)).Run();
  Statement(database,
            "INSERT INTO pauses SELECT ?, '', '' WHERE NOT EXISTS (SELECT 1 FROM pauses WHERE ended = '') "
            "ON CONFLICT(asked) DO UPDATE SET begun = '', ended = ''")
      .Bind(std::string_view(now))
      .Run();
}

bool Journal::IsPaused() {
  Statement find(*database_, "SELECT begun FROM pauses WHERE ended = ''");
  bool is_paused = false;
  bool has_begun = true;
  while (find.Step()) {
    is_paused = true;
    has_begun = !find.Text(0).empty();
  }
  if (has_begun) return is_paused;
  Touch();
  Statement begin(*database_, "UPDATE pauses SET begun = ? WHERE ended = ''");
  begin.Bind(std::string_view(NowUtc())).Run();
  Flush();
  return true;
}

void Journal::EndPauses() {
  Touch();
  Statement(*database_, kEnd).Bind(std::string_view(NowUtc())).Run();
}

}  // namespace throng::journal
