// Where results come from: the source of this program, and the machine.
#pragma once

#include <string>

namespace throng {

// The commit that the program was built from, in hexadecimal, with " with changes" if files differed from it;
// "unknown" if it was not built from a repository.
std::string SourceCommit();

// Processor, threads and operating system in one line, such as "Intel Xeon ..., 8 threads, Linux 6.1.0
// x86_64".
std::string DescribeMachine();

}  // namespace throng
