// What agents asked of others than models, and what they have begun that must not be done twice.

#include "journal/journal.h"
#include "journal/store/clock.h"
#include "journal/store/schema.h"
#include "journal/store/statements.h"

namespace throng::journal {

std::optional<Digest> Journal::FindIntention(const llm::CallKey& key) {
  Statement find(*database_, kFindIntention);
  find.Bind(int64_t{key.step}).Bind(int64_t{key.agent}).Bind(int64_t{key.call});
  find.Bind(static_cast<int64_t>(llm::Effect::kAtCommit));
  std::optional<Digest> found;
  while (find.Step()) found = find.GetDigest(0);
  return found;
}

void Journal::WriteIntention(const llm::CallKey& key, const AskedCall& asked) {
  Statement add(*database_, kAddIntention);
  add.Bind(int64_t{key.step}).Bind(int64_t{key.agent}).Bind(int64_t{key.call});
  add.Bind(static_cast<int64_t>(asked.kind)).Bind(static_cast<int64_t>(asked.effect));
  add.Bind(std::string_view(asked.function)).Bind(asked.digest).Bind(std::string_view(NowUtc()));
  if (session_ > 0) {
    add.Bind(session_);
  } else {
    add.BindNull();
  }
  if (asked.prompt.empty()) {
    add.BindNull();
  } else {
    add.Bind(std::string_view(asked.prompt));
  }
  add.Run();
}

void Journal::AddIntention(const llm::CallKey& key, const AskedCall& asked) {
  Flush();
  Connection& connection = database_->GetConnection();
  connection.SyncCommits(true);
  Touch();
  WriteIntention(key, asked);
  Flush();
  connection.SyncCommits(sync_always_);
}

void Journal::DropIntention(const llm::CallKey& key) {
  Touch();
  Statement drop(*database_, kDropIntention);
  drop.Bind(int64_t{key.step}).Bind(int64_t{key.agent}).Bind(int64_t{key.call}).Run();
}

}  // namespace throng::journal
