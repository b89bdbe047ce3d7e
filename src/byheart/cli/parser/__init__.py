"""What each verb takes, and in which words; the work of a verb is in the file of its name beside this folder."""
