"""`acnn-nnunet prior-report`: is this prior worth using?"""
