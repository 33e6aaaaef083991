// CLI11 for the files of this folder. Every file that includes <CLI/CLI.hpp> defines a set of validator
// objects, and compiles the code of help texts and configuration files: seconds per file. This header leaves
// out the validators, and cli11.cc defines the rest once.
#pragma once

// Turns each object into a function that nothing defines or calls.
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
