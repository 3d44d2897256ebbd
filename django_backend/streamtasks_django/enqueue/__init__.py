"""From a call of a Django task to messages in the store."""
