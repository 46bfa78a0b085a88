// Votes, the input of all measures in this folder.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_TRUST_VOTE_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_TRUST_VOTE_H_

namespace backflip::trust {

// One answer: a labeler gave an item a value. All three count from 0. A labeler answers an item at
// most once; answers that are missing have no vote.
struct Vote {
  int item = 0;
  int labeler = 0;
  int value = 0;
};

}  // namespace backflip::trust

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_TRUST_VOTE_H_
