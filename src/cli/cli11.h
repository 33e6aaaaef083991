// CLI11 for the files of this folder. <CLI/CLI.hpp> makes every file that includes it define a set of
// validator objects, and the code of help texts and configuration files: seconds per file. Here the
// validators are left out, and cli11.cc defines the rest once.
#pragma once

// Each object becomes a function that nothing defines or calls.
#define ExistingFile ExistingFile()
#define ExistingDirectory ExistingDirectory()
#define ExistingPath ExistingPath()
#define NonexistentPath NonexistentPath()
#define ValidIPV4 ValidIPV4()
#define Number(...) Number()
#define NonNegativeNumber(...) NonNegativeNumber()
#define PositiveNumber(...) PositiveNumber()
#include <CLI/App.hpp>
#undef ExistingFile
#undef ExistingDirectory
#undef ExistingPath
#undef NonexistentPath
#undef ValidIPV4
#undef Number
#undef NonNegativeNumber
#undef PositiveNumber
