// People from tables: CSV or JSON with a row a person, and the user profiles of OASIS (Reddit's JSON,
// Twitter's CSV).
#pragma once

#include <string>
#include <vector>

#include "town/content/json_file.h"
#include "town/import/csv.h"
#include "town/import/draft.h"

namespace throng::town {

// What becomes of each column, in lines for --help.
extern const char* const kPeopleColumns;
extern const char* const kOasisColumns;

// A row's values by column; only columns that have a value.
struct PersonRow {
  Problem place;  // where a problem of the row is: file and line, or file and "[2]"
  std::vector<std::pair<std::string, std::string>> values;
};

std::vector<PersonRow> RowsOf(const std::string& path, const CsvTable& table);
// A list of objects of texts, numbers and lists of texts; what is not is a problem.
std::vector<PersonRow> RowsOf(const std::string& path, const Json& list, Problems& problems);

// Whether the columns are those of OASIS's profiles.
bool IsOasis(const std::vector<PersonRow>& rows);

// A column that no person of a town has goes into its description. A person without a name, and a number that
// is none, are problems.
std::vector<DraftPerson> PeopleOf(const std::vector<PersonRow>& rows, ImportReport& report,
                                  Problems& problems);
// `following_agentid_list` becomes relations.
std::vector<DraftPerson> OasisPeopleOf(const std::vector<PersonRow>& rows, ImportReport& report,
                                       Problems& problems);

}  // namespace throng::town
