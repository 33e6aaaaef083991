#include "engine/codecs/calibration.h"

namespace throng::engine {
namespace {

constexpr std::string_view kText =
    R"(The ferry left the harbour at seven, while the town behind it was still waking up. Anna counted the boxes on deck: 12 of apples, 7 of bread, 3 of letters. "Is that all?" asked the captain. "No," she said, "two more are coming with the baker's cart, if he remembers." He laughed, because the baker never did. Rain was expected before noon, and by then they had to be on the other side of the bay.
To make a simple soup, cut one onion and two carrots, fry them in a little oil for five minutes, add a litre of water and some salt, and let it boil until everything is soft. Serve with fresh bread.
Name: Martin
Age: 41
Job: teacher at the school
Traits: patient, curious
Knows: Ida (sister), Paul (friend), Greta (neighbour)
Plan:
- 07:00 home: have breakfast
- 08:00 school: teach the class
- 12:30 cafe: drink a coffee
- 15:00 library: borrow a book
- 19:00 home: cook dinner
Memories:
- 07:14 You began to have breakfast at the home.
- 08:37 Paul said: hello Martin, the concert is at the park at 20:00.
- 10:05 You said to Greta: good to know. Ida likes chess.
- 12:41 Ida said: I lost a key at the market.
- 13:20 You began to drink a coffee at the cafe.
- 15:09 Greta said: that is nice. see you later.
Question: Where is the concert?
Answer: park
Question: What did Ida lose?
Answer: key
def mean(values):
    total = 0
    for value in values:
        total += value
    return total / len(values)
Question: what is 17 times 6? Answer: 17 times 6 is 102, because 17 times 5 is 85 and 85 plus 17 is 102. In 1869 a chemist put the known elements in order of their weight, and left gaps for those that nobody had found yet; within twenty years three of them were discovered.
Dear Ida, the concert at the park begins at 20:00, as Paul told me this morning. Will you come with us? Greta found a key at the market; perhaps it is the one that you lost. I shall be at the library until six, and after that at home. Yours, Martin
)";

}  // namespace

std::string_view CalibrationText() { return kText; }

}  // namespace throng::engine
