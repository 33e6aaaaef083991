// The prepared statements of a journal open for writing.
#pragma once

#include "journal/journal.h"
#include "journal/store/database.h"
#include "journal/store/question_store.h"
#include "journal/store/schema.h"

namespace throng::journal {

struct Journal::Statements {
  explicit Statements(Database& db)
      : set_manifest(db, kSetManifest),
        add_start(db, kAddStart),
        add_answer(db, kAddAnswer),
        add_spent_cached(db, kAddSpentCached),
        add_used_memory(db, kAddUsedMemory),
        find_answer(db, kFindAnswer),
        add_commit(db, kAddCommit),
        find_commits(db, kFindCommits),
        add_body(db, kAddBody),
        add_cell(db, kAddCell),
        add_event(db, kAddEvent),
        set_presence(db, kSetPresence),
        add_hash(db, kAddHash),
        add_datum(db, kAddDatum),
        find_data(db, kFindData),
        questions(db) {}
  Statement set_manifest, add_start, add_answer, add_spent_cached, add_used_memory, find_answer, add_commit,
      find_commits, add_body, add_cell, add_event, set_presence, add_hash, add_datum, find_data;
  QuestionStore questions;
};

}  // namespace throng::journal
