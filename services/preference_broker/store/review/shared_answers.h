// Answers to questions that several labelers have answered, as votes.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_SHARED_ANSWERS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_SHARED_ANSWERS_H_

#include <cstdint>
#include <vector>

#include "backflip/v1/label.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/trust/vote.h"

namespace backflip::preference_broker {

// The values that an answer has for a pair: the first is better, equal, the second is.
inline constexpr int kPairValues = 3;

// An answer to a question that two or more may have answered.
struct SharedAnswer {
  int64_t question = 0;
  int64_t caller = 0;
  int clips = 0;
  v1::Answer answer;  // in the question's own order
};

// Standing answers to questions that several may have answered, by question, in the order of
// labels. `run_id` 0: of all runs.
std::vector<SharedAnswer> SharedAnswers(Transaction& t, int64_t run_id);

// The value of each pair of the question's clips. Empty: it compares none (cannot tell,
// broken).
std::vector<int> PairValues(const SharedAnswer& answer);

// Votes on pairs that have two or more. Their labelers are places in `callers`, their items
// count pairs over all questions.
struct SharedVotes {
  std::vector<trust::Vote> votes;
  std::vector<int64_t> callers;
  int items = 0;
  int64_t questions = 0;
  int64_t answers = 0;
};

SharedVotes VotesOf(const std::vector<SharedAnswer>& answers);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_REVIEW_SHARED_ANSWERS_H_
