// The feed of a run's labels.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_FEED_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_FEED_H_

#include <cstdint>
#include <vector>

#include "backflip/v1/label.pb.h"
#include "services/preference_broker/store/db/connection.h"

namespace backflip::preference_broker {

// Gives a run's committed labels their places in the feed, in the order of their ids, and
// counts them towards its budget. Any number of brokers may call it at once.
absl::Status NumberLabels(Connection& connection, int64_t run_id);
// Runs with labels that have no place yet, as a broker that died leaves them.
absl::StatusOr<std::vector<int64_t>> RunsWithUnnumberedLabels(Connection& connection);

struct FeedEntry {
  v1::LabelEntry entry;
  // Row ids of the question's clips, in the order of entry.clip_ids.
  std::vector<int64_t> clips;
};
// At most `limit` entries from a position on.
absl::StatusOr<std::vector<FeedEntry>> ReadFeed(Connection& connection, int64_t run_id,
                                                int64_t from_position, int32_t limit);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_FEED_H_
